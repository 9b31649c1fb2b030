//! `camelid chat`: talk to a model in the terminal.

use std::io::{BufRead, IsTerminal, Write};
use std::time::Instant;

use camelid_generate::{Finish, Sampler, Sampling, answer};
use camelid_model::{Decoder, Transformer, TransformerOptions, Tuning};
use camelid_records::{Message, Role};
use camelid_text::Text;

use crate::cli::{ChatArgs, SamplingArgs};
use crate::{machine, models};

impl From<&SamplingArgs> for Sampling {
    fn from(args: &SamplingArgs) -> Self {
        Self {
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
            min_p: args.min_p,
            typical_p: args.typical_p,
            repetition_penalty: args.repetition_penalty,
            presence_penalty: args.presence_penalty,
            frequency_penalty: args.frequency_penalty,
            seed: args.seed,
        }
    }
}

/// Tokens a conversation may hold before the user must start anew.
const CONTEXT: usize = 8192;

pub(crate) fn run(args: &ChatArgs) -> anyhow::Result<()> {
    let sampler = Sampler::new(Sampling::from(&args.sampling))?;
    let model = models::open(&args.model, &mut |line| eprintln!("{line}"))?;
    let text = Text::new(model.text.clone())?;
    let backend = machine::open(args.machine.compute, args.machine.threads);
    let context = CONTEXT.min(model.arch.max_positions());
    let options = TransformerOptions { weights: args.weights.weights.into(), ..TransformerOptions::default() };
    let mut transformer = Transformer::new(backend, model, Tuning::Frozen, 0, options)?;
    let decoder = transformer.decoder(context);
    let mut chat = Chat { text, decoder, sampler, seen: Vec::new(), messages: Vec::new(), context };
    if let Some(system) = &args.system {
        chat.messages.push(Message::new(Role::System, system));
    }
    if let Some(message) = &args.message {
        return chat.turn(message, args.sampling.max_tokens);
    }
    let interactive = std::io::stdin().is_terminal();
    if interactive {
        eprintln!("Type a message and press Enter. /clear starts anew, /quit or Ctrl-D ends.");
        eprint!("> ");
    }
    for line in std::io::stdin().lock().lines() {
        match line?.trim() {
            "" => {}
            "/quit" => break,
            "/clear" => chat.messages.retain(|m| m.role == Role::System),
            message => chat.turn(message, args.sampling.max_tokens)?,
        }
        if interactive {
            eprint!("> ");
        }
    }
    Ok(())
}

struct Chat<'a> {
    text: Text,
    decoder: Decoder<'a, camelid_kernels::Cpu>,
    sampler: Sampler,
    /// Tokens in the decoder's cache.
    seen: Vec<u32>,
    messages: Vec<Message>,
    context: usize,
}

impl Chat<'_> {
    fn turn(&mut self, message: &str, max_tokens: usize) -> anyhow::Result<()> {
        self.messages.push(Message::new(Role::User, message));
        let prompt = self.text.encode_chat(&self.messages, None, &serde_json::Map::new())?;
        if prompt.len() >= self.context {
            self.messages.pop();
            anyhow::bail!(
                "the conversation has {} tokens, the limit is {}\n  fix: start anew with /clear",
                prompt.len(),
                self.context
            );
        }
        // Only what changed since the last turn is computed again.
        let shared = prompt.iter().zip(&self.seen).take_while(|(a, b)| a == b).count().min(prompt.len() - 1);
        self.decoder.truncate(shared);
        self.seen.truncate(shared);

        let start = Instant::now();
        let (decoder, seen) = (&mut self.decoder, &mut self.seen);
        let mut first = true;
        let mut append = |tokens: &[u32]| {
            let new = if std::mem::take(&mut first) { &tokens[shared..] } else { tokens };
            seen.extend_from_slice(new);
            decoder.append(new)
        };
        let limit = max_tokens.min(self.context - prompt.len());
        let mut print = |new: &str| {
            print!("{new}");
            std::io::stdout().flush().is_ok()
        };
        let answer = answer(&prompt, limit, &self.text, &mut self.sampler, &mut append, &mut print)?;
        println!();
        if std::io::stderr().is_terminal() {
            let rate = answer.tokens.len() as f64 / start.elapsed().as_secs_f64();
            let cut = if answer.finish == Finish::Length { ", cut at the token limit" } else { "" };
            eprintln!("({} tokens, {rate:.0} tokens/s{cut})", answer.tokens.len());
        }
        self.messages.push(Message::new(Role::Assistant, answer.text));
        Ok(())
    }
}
