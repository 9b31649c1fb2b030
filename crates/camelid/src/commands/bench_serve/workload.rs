//! What clients ask: requests that are a function of their number.

use camelid_generate::protocol::{Body, Endpoint};
use camelid_generate::server::Settings;
use camelid_generate::{Request, prepare};
use camelid_text::Text;
use serde_json::{Map, Value as Json, json};

const WORDS: [&str; 40] = [
    "river", "stone", "letter", "garden", "engine", "winter", "music", "silver", "planet", "bread", "window", "island",
    "market", "forest", "candle", "bridge", "doctor", "summer", "pencil", "harbour", "teacher", "mountain", "story",
    "cloud", "carpet", "kitchen", "number", "paper", "question", "answer", "village", "train", "ocean", "mirror",
    "captain", "library", "shadow", "season", "lantern", "weather",
];
/// Words of the shortest prompts.
const FEWEST_WORDS: usize = 8;

/// How requests are made.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) model: String,
    pub(crate) seed: u64,
    /// Words of the longest prompts.
    pub(crate) words: usize,
    /// Tokens of each answer.
    pub(crate) tokens: usize,
    /// Share of requests whose answer is streamed.
    pub(crate) stream_share: f64,
    /// Ask for the tokens as numbers.
    pub(crate) token_ids: bool,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ask {
    pub(crate) endpoint: Endpoint,
    pub(crate) body: Json,
    pub(crate) streamed: bool,
}

impl Ask {
    /// The address behind `/v1`.
    pub(crate) fn path(&self) -> &'static str {
        match self.endpoint {
            Endpoint::Chat => "/chat/completions",
            Endpoint::Completions => "/completions",
        }
    }

    /// What the server makes of it for its engine.
    pub(crate) fn request(&self, text: &Text, context: usize) -> anyhow::Result<Request> {
        let body = Body::parse(self.endpoint, self.body.to_string().as_bytes())?;
        let [input] = &body.inputs[..] else { anyhow::bail!("a request of the workload has several prompts") };
        Ok(prepare(input, &body.decoding, text, &Settings::new("").sampling, context)?)
    }
}

impl Workload {
    /// The request of this number.
    pub(crate) fn ask(&self, number: usize) -> Ask {
        let mut state = self.seed.wrapping_mul(0xd134_2543_de82_ef95) ^ number as u64;
        let mut next = || draw(&mut state);
        let endpoint = if next().is_multiple_of(2) { Endpoint::Chat } else { Endpoint::Completions };
        let streamed = ((next() >> 11) as f64) < self.stream_share * (1_u64 << 53) as f64;
        let span = self.words.saturating_sub(FEWEST_WORDS) as u64 + 1;
        let count = FEWEST_WORDS.min(self.words) + (next() % span) as usize;
        let words: Vec<&str> = (0..count).map(|_| WORDS[(next() % WORDS.len() as u64) as usize]).collect();
        let prompt = format!("Write a story with these words: {}.", words.join(", "));
        let mut body = Map::new();
        let mut put = |name: &str, value: Json| body.insert(name.to_owned(), value);
        put("model", json!(self.model));
        match endpoint {
            Endpoint::Chat => put("messages", json!([{ "role": "user", "content": prompt }])),
            Endpoint::Completions => put("prompt", json!(prompt)),
        };
        put("max_tokens", json!(self.tokens));
        put("temperature", json!(1.0));
        put("seed", json!(next() >> 1));
        // Every answer has the same length, so that rates compare.
        put("ignore_eos", json!(true));
        if self.token_ids {
            put("return_token_ids", json!(true));
        }
        if streamed {
            put("stream", json!(true));
            put("stream_options", json!({ "include_usage": true }));
        }
        Ask { endpoint, body: Json::Object(body), streamed }
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload() -> Workload {
        let model = "tiny".to_owned();
        Workload { model, seed: 3, words: 30, tokens: 5, stream_share: 0.25, token_ids: true }
    }

    #[test]
    fn requests_are_a_function_of_their_number_and_of_every_kind() {
        let workload = workload();
        let asks: Vec<Ask> = (0..400).map(|number| workload.ask(number)).collect();
        assert_eq!(asks[7], workload.ask(7));
        let streamed = asks.iter().filter(|ask| ask.streamed).count();
        assert!((60..140).contains(&streamed), "{streamed}");
        let chats = asks.iter().filter(|ask| ask.endpoint == Endpoint::Chat).count();
        assert!((150..250).contains(&chats), "{chats}");
        let mut bodies: Vec<String> = asks.iter().map(|ask| ask.body.to_string()).collect();
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), 400);
        assert_ne!(asks[0], Workload { seed: 4, ..workload }.ask(0));
    }

    #[test]
    fn every_request_is_understood_by_the_server() {
        for number in 0..50 {
            let ask = workload().ask(number);
            let body = Body::parse(ask.endpoint, ask.body.to_string().as_bytes()).unwrap();
            assert_eq!((body.decoding.max_tokens, body.decoding.ignore_end), (Some(5), true));
            assert_eq!(body.output.stream, ask.streamed);
        }
    }
}
