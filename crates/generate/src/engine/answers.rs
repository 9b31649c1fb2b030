//! A list of requests, answered to the end by a model at hand: what training does with its own policy.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;

use camelid_model::{Generate, ModelError};
use camelid_text::Text;

use super::scheduler::{Limits, Scheduler};
use crate::gather::{Gathered, Sample};
use crate::{Event, Finish, Refusal, Request, TokenScore};

/// One sample of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    pub text: String,
    /// Each token, the stop token included, with its log-probabilities.
    pub tokens: Vec<TokenScore>,
    pub finish: Option<Finish>,
}

/// Why a list of requests was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    #[error("request {index}: {refusal}")]
    Refused { index: usize, refusal: Refusal },
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Samples of each request, in their order. `progress` hears how many requests are done after each step.
pub fn answer_all(
    engine: &mut dyn Generate,
    text: &Text,
    limits: Limits,
    requests: Vec<Request>,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Vec<Answered>>, Unanswered> {
    let mut answers: Vec<Vec<Answered>> = requests.iter().map(|_| Vec::new()).collect();
    let mut done = 0;
    answer_each(engine, text, limits, requests, &mut |index, samples| {
        answers[index] = samples;
        done += 1;
        progress(done);
    })?;
    Ok(answers)
}

/// As [`answer_all`], but `done` gets a request's place and its samples as soon as all of them have ended, in any order:
/// what has been answered is not lost when a later step fails.
pub fn answer_each(
    engine: &mut dyn Generate,
    text: &Text,
    limits: Limits,
    requests: Vec<Request>,
    done: &mut dyn FnMut(usize, Vec<Answered>),
) -> Result<(), Unanswered> {
    for (index, request) in requests.iter().enumerate() {
        Scheduler::check(&limits, request).map_err(|refusal| Unanswered::Refused { index, refusal })?;
    }
    let mut gathered: Vec<Gathered> = requests.iter().map(|request| Gathered::new(request.samples)).collect();
    let mut scheduler = Scheduler::new(limits);
    let (sender, events) = channel();
    for (index, request) in requests.into_iter().enumerate() {
        let sender = sender.clone();
        let sink = Box::new(move |event| sender.send((index, event)).is_ok());
        scheduler.submit(request, sink, Arc::new(AtomicBool::new(false)));
    }
    engine.open_cache(limits.cache_tokens, limits.context);
    let outcome = loop {
        if scheduler.is_idle() {
            break Ok(());
        }
        if let Err(error) = scheduler.step(engine, text) {
            break Err(error);
        }
        for (index, event) in events.try_iter() {
            let ends = matches!(event, Event::Done);
            // A failure is the step's error, which ends the loop.
            let _ = gathered[index].add(event);
            if ends {
                done(index, std::mem::take(&mut gathered[index]).samples.into_iter().map(answered).collect());
            }
        }
    };
    engine.close_cache();
    Ok(outcome?)
}

fn answered(sample: Sample) -> Answered {
    Answered { text: sample.text, tokens: sample.scores, finish: sample.finish }
}
