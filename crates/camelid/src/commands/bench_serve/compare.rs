//! The same requests with and without a server.

use std::sync::Arc;
use std::time::Instant;

use camelid_generate::engine::{Limits, answer_all};
use camelid_text::Text;
use serde::Serialize;

use super::figures::Figures;
use super::load::{self, Load, Until};
use super::memory::{Memory, MemoryWatch};
use super::target::{Lent, Local};
use super::workload::Workload;

/// What is compared.
pub(crate) struct Comparison<'a> {
    pub(crate) text: &'a Arc<Text>,
    pub(crate) limits: Limits,
    pub(crate) queue: usize,
    pub(crate) workload: &'a Workload,
    pub(crate) clients: usize,
    pub(crate) requests: usize,
    pub(crate) rounds: usize,
}

/// Tokens a second of each round, and what the last round of the server came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Compared {
    pub(crate) server: Vec<f64>,
    pub(crate) offline: Vec<f64>,
    /// Median of the rounds' ratios.
    pub(crate) share: f64,
    /// Answers of the server that are not the engine's.
    pub(crate) differing: usize,
    #[serde(skip)]
    pub(crate) figures: Figures,
    #[serde(skip)]
    pub(crate) memory: Option<Memory>,
}

impl Comparison<'_> {
    /// Takes turns: without a server, with it, and again. Caches are empty each time.
    pub(crate) fn run(&self, model: &mut Lent, clients: &tokio::runtime::Runtime) -> anyhow::Result<Compared> {
        let (mut server, mut offline) = (Vec::new(), Vec::new());
        let (mut differing, mut last) = (0, None);
        self.offline(model, self.clients)?;
        for round in 1..=self.rounds {
            let (rate, texts) = self.offline(model, self.requests)?;
            offline.push(rate);
            let watch = MemoryWatch::start()?;
            let local = Local::start(model, self.text, self.limits, self.queue, &self.workload.model)?;
            let target = Arc::new(local.target.clone());
            let load = Load {
                workload: self.workload.clone(),
                clients: self.clients,
                until: Until::Requests(self.requests),
                expected: Vec::new(),
            };
            let done = clients.block_on(load::run(target, load))?;
            local.finish(model)?;
            server.push(done.figures.tokens_per_second);
            differing += texts
                .iter()
                .enumerate()
                .filter(|(n, text)| done.answers.get(n).map(|said| &said.text) != Some(text))
                .count();
            eprintln!(
                "round {round} of {}: {:.0} tokens/s with a server, {rate:.0} without",
                self.rounds, done.figures.tokens_per_second
            );
            last = Some((done.figures, watch.finish()));
        }
        let Some((figures, memory)) = last else { anyhow::bail!("--rounds is 0\n  fix: compare at least once") };
        let mut ratios: Vec<f64> = server.iter().zip(&offline).map(|(server, offline)| server / offline).collect();
        ratios.sort_by(f64::total_cmp);
        let middle = ratios.len() / 2;
        let share =
            if ratios.len() % 2 == 1 { ratios[middle] } else { f64::midpoint(ratios[middle - 1], ratios[middle]) };
        Ok(Compared { server, offline, share, differing, figures, memory })
    }

    /// Tokens a second and the answers, with as many requests at a time as there are clients.
    fn offline(&self, model: &mut Lent, requests: usize) -> anyhow::Result<(f64, Vec<String>)> {
        let limits = Limits { samples: self.limits.samples.min(self.clients), ..self.limits };
        let begun = Instant::now();
        // Reading the requests is work that the server has too.
        let asked = (0..requests).map(|number| self.workload.ask(number).request(self.text, limits.context));
        let asked = asked.collect::<anyhow::Result<Vec<_>>>()?;
        let answers = answer_all(model, self.text, limits, asked, &mut |_| {})?;
        let seconds = begun.elapsed().as_secs_f64();
        let tokens: usize = answers.iter().flatten().map(|answer| answer.tokens.len()).sum();
        let texts = answers.into_iter().map(|mut samples| samples.pop().unwrap_or_default().text).collect();
        Ok((tokens as f64 / seconds, texts))
    }
}
