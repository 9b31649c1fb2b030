//! Events of a request, put together.

use crate::{Event, Finish, Sink, TokenScore};

/// What came of one request so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Gathered {
    /// Scores of the prompt's tokens from the second on.
    pub(crate) prompt: Vec<TokenScore>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) done: bool,
}

/// One answer so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    pub(crate) text: String,
    pub(crate) scores: Vec<TokenScore>,
    pub(crate) finish: Option<Finish>,
}

impl Gathered {
    pub(crate) fn new(samples: usize) -> Self {
        Self { samples: vec![Sample::default(); samples], ..Self::default() }
    }

    /// Adds an event; the error is what the engine said.
    pub(crate) fn add(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Prompt(scores) => self.prompt = scores,
            Event::Token { sample, score, text } => {
                if let Some(sample) = self.samples.get_mut(sample) {
                    sample.text.push_str(&text);
                    sample.scores.push(score);
                }
            }
            Event::Finished { sample, finish, text } => {
                if let Some(sample) = self.samples.get_mut(sample) {
                    sample.text.push_str(&text);
                    sample.finish = Some(finish);
                }
            }
            Event::Done => self.done = true,
            Event::Failed(reason) => return Err(reason),
        }
        Ok(())
    }

    pub(crate) fn sampled_tokens(&self) -> usize {
        self.samples.iter().map(|sample| sample.scores.len()).sum()
    }
}

/// The word of OpenAI's interface.
pub(crate) fn finish_word(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Cancelled => "abort",
    }
}

/// A sink that hands on events together with the number of their request. If the engine drops it before the last event,
/// it says so itself, so that nobody waits for ever.
pub(crate) fn sink(number: usize, send: impl Fn((usize, Event)) -> bool + Send + 'static) -> Sink {
    let mut outlet = Outlet { number, send, over: false };
    Box::new(move |event| outlet.pass(event))
}

struct Outlet<F: Fn((usize, Event)) -> bool> {
    number: usize,
    send: F,
    over: bool,
}

impl<F: Fn((usize, Event)) -> bool> Outlet<F> {
    fn pass(&mut self, event: Event) -> bool {
        self.over |= matches!(event, Event::Done | Event::Failed(_));
        (self.send)((self.number, event))
    }
}

impl<F: Fn((usize, Event)) -> bool> Drop for Outlet<F> {
    fn drop(&mut self) {
        if !self.over {
            let reason = "the engine gave up this request\n  fix: see the log of the process that runs it";
            (self.send)((self.number, Event::Failed(reason.to_owned())));
        }
    }
}
