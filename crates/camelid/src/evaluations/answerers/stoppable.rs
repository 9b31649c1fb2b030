use std::sync::atomic::{AtomicBool, Ordering};

use camelid_eval::task::{Answerer, Failure, FailureKind, Reply, Request};

/// Requests asked between two looks at whether to stop: enough to keep a batch full, and few enough to be waited for.
const AT_ONCE: usize = 128;

/// An answerer that ends early when it is asked to. What it was not asked by then fails; who set the flag throws that away.
pub(crate) struct Stoppable<'s> {
    pub(crate) inner: Box<dyn Answerer>,
    pub(crate) stop: &'s AtomicBool,
}

impl Answerer for Stoppable<'_> {
    fn answer(
        &mut self,
        requests: &[Request],
        done: &mut dyn FnMut(usize, Result<Reply, Failure>),
    ) -> Result<(), Failure> {
        for (part, requests) in requests.chunks(AT_ONCE).enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Failure { kind: FailureKind::Server, message: "stopped".to_owned() });
            }
            self.inner.answer(requests, &mut |place, reply| done(part * AT_ONCE + place, reply))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camelid_eval::task::{Answer, Context};

    struct Echo;

    impl Answerer for Echo {
        fn answer(
            &mut self,
            requests: &[Request],
            done: &mut dyn FnMut(usize, Result<Reply, Failure>),
        ) -> Result<(), Failure> {
            for (place, request) in requests.iter().enumerate() {
                let Request::Generate { context, .. } = request else { continue };
                done(place, Ok(Reply::Answer(Answer { text: context.shown(), truncated: false, tokens: None })));
            }
            Ok(())
        }
    }

    #[test]
    fn places_are_those_of_the_whole_and_a_stop_is_heard() {
        let request = |text: usize| Request::Generate {
            context: Context::Text(text.to_string()),
            stop: Vec::new(),
            max_tokens: 1,
            draw: None,
        };
        let requests: Vec<Request> = (0..300).map(request).collect();
        let stop = AtomicBool::new(false);
        let mut answerer = Stoppable { inner: Box::new(Echo), stop: &stop };
        let mut heard = 0;
        let ended = answerer.answer(&requests, &mut |place, reply| {
            assert!(matches!(reply, Ok(Reply::Answer(answer)) if answer.text == place.to_string()));
            heard += 1;
            stop.store(place >= 200, Ordering::Relaxed);
        });
        // The part that was under way is ended.
        assert_eq!((heard, ended.is_err()), (256, true));
    }
}
