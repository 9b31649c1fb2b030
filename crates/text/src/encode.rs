//! From a record to tokens and the weight with which each is learned.

use camelid_records::{Record, Role};
use rayon::prelude::*;

use crate::cache;
use crate::error::Fault;
use crate::policy::{Learn, Overlong, SpanPolicy};
use crate::{Encoded, Text, TextError, Untrainable};

/// The records that can be trained on, and why the others cannot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodedSet {
    /// In the order of the records.
    pub sequences: Vec<Encoded>,
    /// Index of each record that is left out, ascending.
    pub rejects: Vec<(usize, Untrainable)>,
    /// The tokens came from the cache.
    pub cache_hit: bool,
}

/// Encodes all records in parallel, each rendered once.
///
/// `cache_folder` keeps the result in a file named by the hash of everything that it depends on. What is wrong with one
/// record rejects that record; errors are for what is wrong with all of them: no template, a template that never ends
/// an answer, a cache that cannot be written.
pub fn encode_all(
    text: &Text,
    records: &[Record],
    policy: &SpanPolicy,
    max_length: usize,
    overlong: Overlong,
    cache_folder: Option<&std::path::Path>,
) -> Result<EncodedSet, TextError> {
    if records.iter().any(|record| matches!(record, Record::Conversation(_))) {
        text.check_template(policy)?;
    }
    let key = cache_folder.map(|_| cache::key(text, records, policy, max_length, overlong));
    if let (Some(folder), Some(key)) = (cache_folder, &key)
        && let Some(found) = cache::load(folder, key, records)
    {
        return Ok(found);
    }
    let encode = |(index, record)| {
        let encoded = text.encode_record(record, policy, max_length, overlong)?;
        Ok(Encoded { record: index as u32, ..encoded })
    };
    let outcomes: Vec<Result<Encoded, Untrainable>> = records.par_iter().enumerate().map(encode).collect();
    let mut set = EncodedSet::default();
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(encoded) => set.sequences.push(encoded),
            Err(reason) => set.rejects.push((index, reason)),
        }
    }
    if let (Some(folder), Some(key)) = (cache_folder, &key) {
        cache::store(folder, key, &set)?;
    }
    Ok(set)
}

impl Text {
    /// Encodes one record (as number 0), or says why it cannot be trained on.
    ///
    /// * A conversation is rendered by the chat template; its module documentation says what is learned of it.
    /// * Prompt and completion are encoded as one text where a token ends between them, else each by itself, as the
    ///   prompt will be when the model is asked. The completion is learned, and the end-of-text token after it.
    /// * Of a text everything is learned, and the end-of-text token.
    ///
    /// There is exactly one BOS if the tokenizer wants one, whether or not the template writes it.
    pub fn encode_record(
        &self,
        record: &Record,
        policy: &SpanPolicy,
        max_length: usize,
        overlong: Overlong,
    ) -> Result<Encoded, Untrainable> {
        let encoded = match record {
            Record::Conversation(conversation) => self.encode_turns(conversation, policy),
            Record::Completion { prompt, completion, .. } => {
                let learn_prompt = policy.train_on_prompt || policy.learn == Learn::Everything;
                self.encode_completion(prompt, completion, learn_prompt)
            }
            Record::Text { text, .. } => self.encode_text(text),
        };
        encoded
            .and_then(|(tokens, weights)| self.finish(tokens, weights, max_length, overlong))
            .map_err(|fault| fault.of(record.provenance()))
    }

    /// Whether conversations can be trained on at all.
    fn check_template(&self, policy: &SpanPolicy) -> Result<(), TextError> {
        self.template()?;
        let learns_answers = match &policy.learn {
            Learn::Assistant | Learn::LastAssistant => true,
            Learn::Roles(roles) => roles.contains(&Role::Assistant),
            Learn::Everything => false,
        };
        match &self.special.missing_terminator {
            Some(after) if learns_answers => Err(TextError::new(
                "chat template",
                format!(
                    "writes {after:?} after an answer, which holds no special token: a model would not learn to stop"
                ),
                "let the template write {{ eos_token }} after each answer",
            )),
            _ => Ok(()),
        }
    }

    fn encode_completion(
        &self,
        prompt: &str,
        completion: &str,
        learn_prompt: bool,
    ) -> Result<(Vec<u32>, Vec<f32>), Fault> {
        if completion.trim().is_empty() {
            return Err(Fault::new("the completion is empty", "remove the record, or fill the completion"));
        }
        let placed = self.encode_placed(&format!("{prompt}{completion}"))?;
        let mut boundary = placed.partition_point(|token| token.start < prompt.len());
        let mut tokens: Vec<u32> = placed.iter().map(|token| token.id).collect();
        if placed[..boundary].last().is_some_and(|token| token.end > prompt.len()) {
            tokens = self.encode(prompt);
            boundary = tokens.len();
            tokens.extend(self.encode_continuation(completion)?);
        }
        let mut weights = vec![1.0; tokens.len()];
        if !learn_prompt {
            weights[..boundary].fill(0.0);
        }
        self.end_text(&mut tokens, &mut weights)?;
        Ok((tokens, weights))
    }

    fn encode_text(&self, text: &str) -> Result<(Vec<u32>, Vec<f32>), Fault> {
        if text.trim().is_empty() {
            return Err(Fault::new("the text is empty", "remove the record, or fill it"));
        }
        let mut tokens = self.encode(text);
        let mut weights = vec![1.0; tokens.len()];
        self.end_text(&mut tokens, &mut weights)?;
        Ok((tokens, weights))
    }

    /// Tokens of a text that follows another. Tokenizers that put a space before each text must not do it here.
    fn encode_continuation(&self, text: &str) -> Result<Vec<u32>, Fault> {
        let plain = self.encode(text);
        if !plain.first().is_some_and(|&token| self.decode_piece(token).starts_with('\u{2581}')) {
            return Ok(plain);
        }
        let after_line_break = self.encode_placed(&format!("\n{text}"))?;
        let split = after_line_break.partition_point(|token| token.start < 1);
        let clean = split > 0 && after_line_break[split - 1].end <= 1;
        Ok(if clean { after_line_break[split..].iter().map(|token| token.id).collect() } else { plain })
    }

    /// Appends the end-of-text token, which is learned.
    fn end_text(&self, tokens: &mut Vec<u32>, weights: &mut Vec<f32>) -> Result<(), Fault> {
        let Some(eos) = self.eos() else {
            return Err(Fault::new(
                "the tokenizer has no end-of-text token: a model would not learn to stop",
                "name its eos_token in tokenizer_config.json",
            ));
        };
        if tokens.last() != Some(&eos) {
            tokens.push(eos);
            weights.push(1.0);
        }
        Ok(())
    }

    /// BOS, length, and something to learn.
    fn finish(
        &self,
        mut tokens: Vec<u32>,
        mut weights: Vec<f32>,
        max_length: usize,
        overlong: Overlong,
    ) -> Result<Encoded, Fault> {
        if let Some(bos) = self.bos() {
            if self.adds_bos() && tokens.first() != Some(&bos) {
                tokens.insert(0, bos);
                weights.insert(0, 0.0);
            }
            if tokens.starts_with(&[bos, bos]) {
                return Err(Fault::new(
                    "the tokens begin with two BOS",
                    "let the chat template, or the text, write the BOS token once",
                ));
            }
        }
        let length = tokens.len();
        if length > max_length && overlong == Overlong::Reject {
            return Err(Fault::new(
                format!("has {length} tokens, max_length is {max_length}"),
                "raise max_length, shorten or split the record, or set overlong = \"truncate\"",
            ));
        }
        tokens.truncate(max_length);
        weights.truncate(max_length);
        // Nothing comes before the first token that could predict it.
        if let Some(first) = weights.first_mut() {
            *first = 0.0;
        }
        if weights.iter().all(|&weight| weight == 0.0) {
            return Err(if length > max_length {
                Fault::new(
                    format!("nothing that is learned is left in the first {max_length} of {length} tokens"),
                    "raise max_length, or remove the record",
                )
            } else {
                Fault::new("no token of it is learned", "remove the record, or change `learn`")
            });
        }
        Ok(Encoded { tokens, weights, record: 0 })
    }
}
