//! From scores and texts to the parts of a reply.

use std::collections::BTreeMap;

use camelid_text::Text;

use super::ask::Asked;
use crate::gather::{Gathered, finish_word};
use crate::protocol::{
    Choice, Endpoint, Input, LogProbs, PromptLogProb, Reply, ReplyMessage, TokenLogProb, TopLogProb, Usage,
    least_log_prob,
};
use crate::{Finish, TokenScore};

/// Log-probabilities of a prompt's tokens under their numbers; none for the first token.
type PromptLogProbs = Vec<Option<BTreeMap<String, PromptLogProb>>>;

/// Tokens of a prompt that a text starts with, and their scores, which the first lacks.
pub(super) type Echoed<'a> = Option<(&'a [u32], &'a [TokenScore])>;

/// Writes the parts of one reply.
pub(super) struct Renderer<'a> {
    pub(super) asked: &'a Asked,
    pub(super) text: &'a Text,
}

/// The next tokens of a choice and the text that became certain with them.
pub(super) struct Piece<'a> {
    pub(super) text: String,
    pub(super) echoed: Echoed<'a>,
    pub(super) scores: &'a [TokenScore],
    /// Nothing of this choice went before.
    pub(super) first: bool,
    pub(super) finish: Option<Finish>,
}

impl Renderer<'_> {
    /// The whole reply.
    pub(super) fn reply(&self, id: String, created: u64, gathered: &[Gathered]) -> Reply {
        let body = &self.asked.body;
        let mut choices = Vec::new();
        for (place, one) in gathered.iter().enumerate() {
            for (sample, answer) in one.samples.iter().enumerate() {
                let echo = self.echo(place);
                let echoed = echo.is_some().then_some((&self.asked.prompts[place][..], &one.prompt[..]));
                let text = echo.unwrap_or_default() + &answer.text;
                let piece = Piece { text, echoed, scores: &answer.scores, first: true, finish: answer.finish };
                let mut choice = self.choice(place, sample, piece, 0, false);
                if body.endpoint == Endpoint::Completions {
                    choice.prompt_logprobs = self.prompt_log_probs(&one.prompt);
                }
                choices.push(choice);
            }
        }
        let chat = body.endpoint == Endpoint::Chat;
        let sampled = gathered.iter().map(Gathered::sampled_tokens).sum();
        Reply {
            choices,
            usage: Some(self.usage(sampled)),
            prompt_token_ids: (chat && body.output.token_ids).then(|| self.asked.prompts[0].clone()),
            prompt_logprobs: if chat { self.prompt_log_probs(&gathered[0].prompt) } else { None },
            ..self.frame(id, created, false)
        }
    }

    /// A reply without choices.
    pub(super) fn frame(&self, id: String, created: u64, streamed: bool) -> Reply {
        let object = match (self.asked.body.endpoint, streamed) {
            (Endpoint::Completions, _) => "text_completion",
            (Endpoint::Chat, false) => "chat.completion",
            (Endpoint::Chat, true) => "chat.completion.chunk",
        };
        Reply {
            id,
            object: object.to_owned(),
            created,
            model: self.asked.model.clone(),
            weight_version: Some(self.asked.weight_version),
            ..Reply::default()
        }
    }

    /// The next piece of an answer, or all of it; `offset` is how many characters went before.
    pub(super) fn choice(&self, place: usize, sample: usize, piece: Piece, offset: usize, streamed: bool) -> Choice {
        let body = &self.asked.body;
        let mut choice = Choice {
            index: place * body.decoding.samples + sample,
            finish_reason: piece.finish.map(|finish| finish_word(finish).to_owned()),
            token_ids: body.output.token_ids.then(|| piece.scores.iter().map(|score| score.token).collect()),
            ..Choice::default()
        };
        match body.endpoint {
            Endpoint::Completions => {
                choice.logprobs = body.decoding.log_probs.map(|top| self.completion_scores(&piece, offset, top));
                choice.text = Some(piece.text);
                if body.output.token_ids && piece.first {
                    choice.prompt_token_ids = Some(self.asked.prompts[place].clone());
                }
            }
            Endpoint::Chat => {
                let scored = body.decoding.log_probs.map(|top| self.chat_scores(piece.scores, top));
                choice.logprobs = scored.map(|content| LogProbs { content: Some(content), ..LogProbs::default() });
                let role = piece.first.then(|| "assistant".to_owned());
                let message = ReplyMessage { role, content: Some(piece.text), ..ReplyMessage::default() };
                if streamed { choice.delta = Some(message) } else { choice.message = Some(message) }
            }
        }
        choice
    }

    /// The prompt's text, where it is to stand before its answers.
    pub(super) fn echo(&self, place: usize) -> Option<String> {
        self.asked.body.output.echo.then(|| match &self.asked.body.inputs[place] {
            Input::Text(prompt) => prompt.clone(),
            _ => self.text.decode(&self.asked.prompts[place]),
        })
    }

    pub(super) fn usage(&self, sampled: usize) -> Usage {
        let prompt_tokens = self.asked.prompts.iter().map(Vec::len).sum::<usize>() as u64;
        let completion_tokens = sampled as u64;
        Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }

    /// Characters of the tokens of a piece.
    pub(super) fn width(&self, echoed: Echoed, scores: &[TokenScore]) -> usize {
        let prompt = echoed.map_or(&[][..], |(prompt, _)| prompt).iter().copied();
        prompt.chain(scores.iter().map(|score| score.token)).map(|token| self.characters(token)).sum()
    }

    fn characters(&self, token: u32) -> usize {
        self.text.decode(&[token]).chars().count()
    }

    fn name(&self, token: u32) -> String {
        if self.asked.body.output.tokens_as_ids { format!("token_id:{token}") } else { self.text.decode(&[token]) }
    }

    /// A token's bytes, unless it is a part of a character, which decoding cannot show.
    fn bytes(&self, token: u32) -> Option<Vec<u8>> {
        Some(self.text.decode(&[token])).filter(|text| !text.contains('\u{fffd}')).map(String::into_bytes)
    }

    fn chat_scores(&self, scores: &[TokenScore], top: usize) -> Vec<TokenLogProb> {
        let alternative = |&(token, log_prob): &(u32, f32)| TopLogProb {
            token: self.name(token),
            logprob: least_log_prob(log_prob),
            bytes: self.bytes(token),
        };
        let entry = |score: &TokenScore| TokenLogProb {
            token: self.name(score.token),
            logprob: least_log_prob(score.log_prob),
            bytes: self.bytes(score.token),
            top_logprobs: score.top.iter().take(top).map(alternative).collect(),
        };
        scores.iter().map(entry).collect()
    }

    fn completion_scores(&self, piece: &Piece, offset: usize, top: usize) -> LogProbs {
        let (prompt, prompt_scores) = piece.echoed.unwrap_or_default();
        let first = prompt.first().map(|&token| (token, None));
        let scored = prompt_scores.iter().chain(piece.scores).map(|score| (score.token, Some(score)));
        let (mut tokens, mut log_probs, mut tops, mut offsets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut place = offset;
        for (token, score) in first.into_iter().chain(scored) {
            offsets.push(place as i64);
            place += self.characters(token);
            tokens.push(self.name(token));
            log_probs.push(score.map(|score| least_log_prob(score.log_prob)));
            tops.push(score.map(|score| {
                let chosen = (score.token, score.log_prob);
                let mut map = BTreeMap::new();
                for (token, log_prob) in score.top.iter().take(top).chain([&chosen]) {
                    // Of two tokens with one spelling the likelier stays.
                    map.entry(self.name(*token)).or_insert(least_log_prob(*log_prob));
                }
                map
            }));
        }
        LogProbs {
            content: None,
            tokens: Some(tokens),
            token_logprobs: Some(log_probs),
            top_logprobs: Some(tops),
            text_offset: Some(offsets),
        }
    }

    fn prompt_log_probs(&self, scores: &[TokenScore]) -> Option<PromptLogProbs> {
        let top = self.asked.body.decoding.prompt_log_probs?;
        let entry = |token: u32, log_prob: f32, rank: Option<usize>| {
            let decoded_token = Some(self.text.decode(&[token]));
            (token.to_string(), PromptLogProb { logprob: least_log_prob(log_prob), rank, decoded_token })
        };
        let map = |score: &TokenScore| {
            let ranked = score.top.iter().enumerate().map(|(place, &(token, log_prob))| (token, log_prob, place + 1));
            let own_rank = ranked.clone().find(|&(token, ..)| token == score.token).map(|(.., rank)| rank);
            let mut map: BTreeMap<_, _> =
                ranked.take(top).map(|(token, log_prob, rank)| entry(token, log_prob, Some(rank))).collect();
            map.extend([entry(score.token, score.log_prob, own_rank)]);
            Some(map)
        };
        Some([None].into_iter().chain(scores.iter().map(map)).collect())
    }
}
