//! The fixed text of a template around the messages of a conversation.
//!
//! A conversation's *shape* is everything a template sees but the words: roles, tools, arguments, which messages are
//! blank. For each shape the template is rendered once with a marker in place of each message's text. What stands
//! between the markers is the skeleton. A record of that shape, rendered once with its own words, must then read exactly
//! `literal, text, literal, text, ..., literal`, each text as it is or trimmed. If it does, the place of each message
//! is certain; if it does not, because the template looks into the text, nothing is concluded.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use camelid_records::{Conversation, Message, Role};

use crate::TextError;

/// Renders some first messages of a conversation, with or without the generation prompt.
pub(crate) type Render<'a> = dyn Fn(&[Message], bool) -> Result<String, TextError> + 'a;

/// Shapes kept; data has few unless its conversations are very long.
const MAX_SHAPES: usize = 4096;

#[derive(Debug, PartialEq)]
pub(crate) struct Skeleton {
    /// Text before each slot, and after the last.
    literals: Vec<String>,
    /// The message whose text fills each slot.
    slots: Vec<usize>,
    /// For each message, where an answer in its place would start: right after what a generation prompt ends with.
    answers: Vec<Option<Place>>,
}

/// A byte of a literal.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    literal: usize,
    offset: usize,
}

/// Where a message is in a rendered text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Placed {
    /// Its text.
    pub(crate) content: Option<Range<usize>>,
    /// Where the model's own text starts, if it is an answer.
    pub(crate) answer: Option<usize>,
    /// Where the next message's text starts, or the end.
    pub(crate) limit: usize,
}

impl Skeleton {
    /// `None` if the template refuses the markers.
    pub(crate) fn build(messages: &[Message], render: &Render) -> Option<Self> {
        let marked: Vec<Message> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| {
                let blank = message.content.trim().is_empty();
                let content = if blank { message.content.clone() } else { marker(index) };
                Message { content, ..message.clone() }
            })
            .collect();
        let whole = render(&marked, false).ok()?;
        let found = find_markers(&whole, messages.len());
        let mut literals = Vec::with_capacity(found.len() + 1);
        let mut end = 0;
        for (_, place) in &found {
            literals.push(whole[end..place.start].to_owned());
            end = place.end;
        }
        literals.push(whole[end..].to_owned());

        // Two answers after the same literal start at the same place in it: one rendering serves all of them.
        let mut known: HashMap<&str, Option<usize>> = HashMap::new();
        let mut lead = None;
        let mut answers = vec![None; messages.len()];
        for index in (0..messages.len()).filter(|&index| messages[index].role == Role::Assistant) {
            let start = || {
                let before = render(&marked[..index], true).ok()?;
                whole.starts_with(&before).then_some(before.len())
            };
            if let Some(slot) = found.iter().position(|(message, _)| *message == index) {
                let literal = literals[slot].as_str();
                let content = found[slot].1.start;
                let offset = *known.entry(literal).or_insert_with(|| {
                    let back = start().and_then(|start| content.checked_sub(start));
                    back.and_then(|back| literal.len().checked_sub(back)).or_else(|| {
                        // The template writes earlier turns otherwise when they are last; the answer's own turn need not
                        // differ from that of the simplest exchange.
                        let lead = lead.get_or_insert_with(|| lead_of_answers(render)).as_deref()?;
                        literal.strip_suffix(lead).map(str::len)
                    })
                });
                answers[index] = offset.map(|offset| Place { literal: slot, offset });
            } else {
                answers[index] = start().and_then(|start| place_of(start, &found, &literals));
            }
        }
        let slots = found.into_iter().map(|(message, _)| message).collect();
        Some(Self { literals, slots, answers })
    }

    /// Places each message in a text rendered from messages of this shape.
    pub(crate) fn place(&self, rendered: &str, messages: &[Message]) -> Option<Vec<Placed>> {
        let mut literal_starts = Vec::with_capacity(self.literals.len());
        let mut contents: Vec<Range<usize>> = Vec::with_capacity(self.slots.len());
        let mut at = 0;
        for (slot, literal) in self.literals.iter().enumerate() {
            literal_starts.push(at);
            at += rendered[at..].strip_prefix(literal.as_str()).map(|_| literal.len())?;
            let Some(&message) = self.slots.get(slot) else { break };
            let (rest, next) = (&rendered[at..], self.literals[slot + 1].as_str());
            let content = messages[message].content.as_str();
            let variants = [content, content.trim(), content.trim_end(), content.trim_start()];
            let fits = |text: &&str| rest.strip_prefix(*text).is_some_and(|after| after.starts_with(next));
            let length = variants.into_iter().find(fits)?.len();
            contents.push(at..at + length);
            at += length;
        }
        if at != rendered.len() {
            return None;
        }
        let mut placed = vec![Placed::default(); messages.len()];
        for (index, placed) in placed.iter_mut().enumerate() {
            let mut slots = (0..self.slots.len()).filter(|&slot| self.slots[slot] == index);
            let slot = slots.next().filter(|_| slots.next().is_none());
            placed.content = slot.map(|slot| contents[slot].clone());
            placed.answer = self.answers[index].map(|place| literal_starts[place.literal] + place.offset);
            let end = placed.content.as_ref().map(|content| content.end).or(placed.answer).unwrap_or(0);
            let after = contents.partition_point(|content| content.start < end);
            let next = contents.get(slot.map_or(after, |slot| slot + 1));
            placed.limit = next.map_or(rendered.len(), |content| content.start);
        }
        Some(placed)
    }
}

/// What a template writes between the generation prompt and the text of an answer, such as a space.
fn lead_of_answers(render: &Render) -> Option<String> {
    let exchange = [Message::new(Role::User, marker(0)), Message::new(Role::Assistant, marker(1))];
    let before = render(&exchange[..1], true).ok()?;
    let whole = render(&exchange, false).ok()?;
    let (lead, _) = whole.strip_prefix(&before)?.split_once(&marker(1))?;
    Some(lead.to_owned())
}

fn place_of(byte: usize, found: &[(usize, Range<usize>)], literals: &[String]) -> Option<Place> {
    let literal = found.partition_point(|(_, place)| place.start < byte);
    let start = literal.checked_sub(1).map_or(0, |slot| found[slot].1.end);
    let offset = byte.checked_sub(start)?;
    (offset <= literals[literal].len()).then_some(Place { literal, offset })
}

const MARKER: &str = "camelidslot";
/// Ends a marker, so that no marker begins with another.
const MARKER_END: char = 'x';

fn marker(index: usize) -> String {
    format!("{MARKER}{index}{MARKER_END}")
}

/// The markers in a text, in order.
fn find_markers(text: &str, messages: usize) -> Vec<(usize, Range<usize>)> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices(MARKER) {
        let rest = &text[start + MARKER.len()..];
        let Some(digits) = rest.find(MARKER_END) else { continue };
        if let Some(index) = rest[..digits].parse().ok().filter(|&index: &usize| index < messages) {
            found.push((index, start..start + MARKER.len() + digits + MARKER_END.len_utf8()));
        }
    }
    found
}

/// Skeletons by shape. `None` stands for shapes whose markers the template refuses.
#[derive(Default)]
pub(crate) struct SkeletonCache {
    known: Mutex<HashMap<[u8; 32], Option<Arc<Skeleton>>>>,
}

impl SkeletonCache {
    /// The skeleton of a conversation's shape, built if it is new.
    pub(crate) fn get(&self, conversation: &Conversation, render: &Render) -> Option<Arc<Skeleton>> {
        let build = || Skeleton::build(&conversation.messages, render).map(Arc::new);
        // Calls are different each time; keeping their shapes would help nobody.
        if conversation.messages.iter().any(|message| message.tool_calls.is_some()) {
            return build();
        }
        let shape = shape(conversation);
        // A thread that panicked while holding the lock left a map that is whole.
        let lock = || self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = lock().get(&shape) {
            return known.clone();
        }
        let built = build();
        let mut known = lock();
        if known.len() < MAX_SHAPES {
            known.insert(shape, built.clone());
        }
        built
    }
}

fn shape(conversation: &Conversation) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut part = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    };
    for message in &conversation.messages {
        part(message.role.name());
        part(message.name.as_deref().unwrap_or("\0"));
        part(if message.content.trim().is_empty() { &message.content } else { "\0" });
    }
    part(&conversation.tools.as_ref().map(ToString::to_string).unwrap_or_default());
    if !conversation.template_arguments.is_empty() {
        part(&serde_json::Value::Object(conversation.template_arguments.clone()).to_string());
    }
    *hasher.finalize().as_bytes()
}
