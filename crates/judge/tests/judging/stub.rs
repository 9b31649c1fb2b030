//! Answerers that follow a plan, for tests.

use std::sync::Mutex;

use camelid_generate::client::{Done, GenerateError, Generated, Generator, Prompt, Sampled, Totals};
use camelid_generate::protocol::Input;
use camelid_judge::Case;

/// What an answerer is asked, read back from the prompt.
pub(crate) struct Asked {
    /// System message and user messages, joined.
    pub(crate) text: String,
    /// The texts under the headings of the two outputs, if both are there.
    pub(crate) outputs: Option<[String; 2]>,
}

pub(crate) type Plan = Box<dyn Fn(&Asked) -> Result<String, GenerateError> + Send + Sync>;

/// A generator that answers as the plan says and counts what it is asked.
pub(crate) struct Stub {
    plan: Plan,
    pub(crate) asked: Mutex<usize>,
}

impl Stub {
    pub(crate) fn new(plan: impl Fn(&Asked) -> Result<String, GenerateError> + Send + Sync + 'static) -> Self {
        Self { plan: Box::new(plan), asked: Mutex::new(0) }
    }
}

/// The two outputs of a comparison, in the order of the prompt.
pub(crate) fn outputs_in(text: &str) -> Option<[String; 2]> {
    let between = |start: &str, ends: &[&str]| {
        let from = text.rfind(start)? + start.len();
        let rest = &text[from..];
        let end = ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
        Some(rest[..end].trim().to_owned())
    };
    Some([
        between("# Output A\n", &["\n\n# Output B"])?,
        between("# Output B\n", &["\n\n# ", "\n\nWhich output", "\n\nSay in"])?,
    ])
}

impl Generator for Stub {
    fn identity(&self) -> String {
        "stub".into()
    }

    fn generate_each(&self, prompts: &[Prompt], done: Done) {
        for (place, prompt) in prompts.iter().enumerate() {
            *self.asked.lock().unwrap() += 1;
            let Input::Chat { messages, .. } = &prompt.input else { panic!("judges ask chats") };
            let text = messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n\n");
            let last = messages.last().unwrap().content.as_str();
            let asked = Asked { outputs: outputs_in(last), text };
            let answer = (self.plan)(&asked).map(|text| {
                let sampled = Sampled { text, finish: Some("stop".into()), ..Sampled::default() };
                Generated { answers: vec![sampled; prompt.decoding.samples], ..Generated::default() }
            });
            done(place, answer);
        }
    }

    fn totals(&self) -> Totals {
        Totals::default()
    }
}

/// Cases whose first output is `good` or `bad`, of different lengths; the instruction tells which is right.
pub(crate) fn cases(count: usize) -> Vec<Case> {
    (0..count)
        .map(|place| {
            let (good, bad) =
                ("good".to_owned() + &"!".repeat(place % 7), "bad".to_owned() + &"?".repeat(place * 5 % 11));
            let outputs = if place % 2 == 0 { [good, bad] } else { [bad, good] };
            Case::single(format!("case-{place}"), format!("instruction {place}"), outputs)
        })
        .collect()
}
