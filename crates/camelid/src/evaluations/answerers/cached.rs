use camelid_eval::task::{Answerer, Failure, FailureKind, Reply, Request};
use camelid_generate::client::ResponseCache;

/// Remembers replies on disk: what an interrupted evaluation was told is not asked again.
pub(crate) struct Cached<'a> {
    pub(crate) inner: &'a mut dyn Answerer,
    pub(crate) cache: &'a ResponseCache,
    /// All that decides a reply beside the request.
    pub(crate) identity: String,
    /// Replies that were found.
    pub(crate) found: usize,
}

impl Cached<'_> {
    fn key(&self, request: &Request) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(self.identity.len() as u64).to_le_bytes()).update(self.identity.as_bytes());
        // A request is text and numbers: this cannot fail.
        hasher.update(&serde_json::to_vec(request).unwrap_or_default());
        hasher.finalize().to_hex().to_string()
    }
}

impl Answerer for Cached<'_> {
    fn answer(
        &mut self,
        requests: &[Request],
        done: &mut dyn FnMut(usize, Result<Reply, Failure>),
    ) -> Result<(), Failure> {
        let keys: Vec<String> = requests.iter().map(|request| self.key(request)).collect();
        let mut open = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            match self.cache.get_as::<Reply>(key) {
                Some(reply) => {
                    self.found += 1;
                    done(place, Ok(reply));
                }
                None => open.push(place),
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        let asked: Vec<Request> = open.iter().map(|&place| requests[place].clone()).collect();
        let cache = self.cache;
        let mut unsaved = None;
        let outcome = self.inner.answer(&asked, &mut |index, reply| {
            let Some(&place) = open.get(index) else { return };
            // Failures may pass and are asked again.
            if let Ok(reply) = &reply
                && let Err(error) = cache.put(&keys[place], reply)
            {
                unsaved = Some(error);
            }
            done(place, reply);
        });
        if let Some(error) = unsaved {
            return Err(Failure { kind: FailureKind::Server, message: error.to_string() });
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use camelid_eval::task::{Answer, Context};

    use super::*;

    /// Answers until it breaks.
    struct Frail {
        left: usize,
        asked: usize,
    }

    impl Answerer for Frail {
        fn answer(
            &mut self,
            requests: &[Request],
            done: &mut dyn FnMut(usize, Result<Reply, Failure>),
        ) -> Result<(), Failure> {
            for (place, request) in requests.iter().enumerate() {
                if self.left == 0 {
                    return Err(Failure { kind: FailureKind::Server, message: "broken".into() });
                }
                self.left -= 1;
                self.asked += 1;
                let Request::Generate { context, .. } = request else { continue };
                done(place, Ok(Reply::Answer(Answer { text: context.shown(), truncated: false, tokens: None })));
            }
            Ok(())
        }
    }

    fn requests() -> Vec<Request> {
        let request = |text: &str| Request::Generate {
            context: Context::Text(text.into()),
            stop: Vec::new(),
            max_tokens: 4,
            draw: None,
        };
        vec![request("a"), request("b"), request("c")]
    }

    #[test]
    fn what_was_answered_before_a_failure_is_not_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ResponseCache::open(&folder.path().join("replies.jsonl")).unwrap();
        let mut frail = Frail { left: 2, asked: 0 };
        let mut cached = Cached { inner: &mut frail, cache: &cache, identity: "m".into(), found: 0 };
        let mut heard = Vec::new();
        assert!(cached.answer(&requests(), &mut |place, _| heard.push(place)).is_err());
        assert_eq!(heard, [0, 1]);
        cached.inner = &mut Frail { left: 9, asked: 0 };
        let mut again = Vec::new();
        let mut whole = Frail { left: 9, asked: 0 };
        let mut cached = Cached { inner: &mut whole, cache: &cache, identity: "m".into(), found: 0 };
        cached.answer(&requests(), &mut |place, reply| again.push((place, reply.unwrap()))).unwrap();
        assert_eq!((again.len(), cached.found), (3, 2));
        assert_eq!(whole.asked, 1);
        // Another model's replies are not this one's.
        let mut other = Frail { left: 9, asked: 0 };
        let mut cached = Cached { inner: &mut other, cache: &cache, identity: "n".into(), found: 0 };
        cached.answer(&requests(), &mut |_, _| ()).unwrap();
        assert_eq!(other.asked, 3);
    }
}
