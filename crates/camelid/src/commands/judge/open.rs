//! The judge that arguments name.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use camelid_generate::Sampling;
use camelid_generate::client::{Generator, RemoteGenerator, ServiceGenerator};
use camelid_judge::certify::{Certificate, Standing};
use camelid_judge::{Asker, Identity, Judge, LogProbs, Strategy, by_name};

use crate::cli::{JudgeArgs, LogProbChoice};
use crate::commands::engine;
use crate::{models, weights_hash};

/// A model under a strategy.
pub(super) struct Opened {
    generator: Box<dyn Generator>,
    strategy: Box<dyn Strategy>,
    log_probs: LogProbs,
    seed: u64,
    pub(super) identity: Identity,
}

impl Opened {
    /// The strategy, for those who want its grades of single outputs.
    pub(super) fn strategy(&self) -> &dyn Strategy {
        self.strategy.as_ref()
    }

    /// Says what asking has cost, where that is known.
    pub(super) fn tell(&self) {
        if let Some(spent) = engine::spent(&self.generator.totals()) {
            eprintln!("{spent}");
        }
    }

    /// The same model and settings under another strategy.
    pub(super) fn judge_with<'s>(&'s self, strategy: &'s dyn Strategy) -> Judge<'s> {
        let asker = Asker { generator: self.generator.as_ref(), log_probs: self.log_probs, seed: self.seed };
        Judge::Asked { asker, strategy }
    }

    pub(super) fn judge(&self) -> Judge<'_> {
        self.judge_with(self.strategy.as_ref())
    }
}

/// The judge; models here and servers are opened alike.
pub(super) fn open(model: &str, args: &JudgeArgs) -> anyhow::Result<Opened> {
    let strategy = by_name(&args.strategy)?;
    let log_probs = match (args.log_probs, &args.remote.server) {
        (Some(LogProbChoice::Forced), _) | (None, None) => LogProbs::Forced,
        (Some(LogProbChoice::Reported), _) | (None, Some(_)) => LogProbs::Reported,
        (Some(LogProbChoice::Unused), _) => LogProbs::Unused,
    };
    let settings = format!("{log_probs:?}, seed {}", args.seed).to_lowercase();
    let mut identity = Identity::new(model, strategy.as_ref(), settings);
    let generator: Box<dyn Generator> = if let Some(settings) = args.remote.settings(model) {
        ensure!(settings.concurrency > 0, "--concurrency is 0\n  fix: ask at least one question at a time");
        identity.server.clone_from(&args.remote.server);
        Box::new(RemoteGenerator::new(settings)?)
    } else {
        let loaded = models::open(model, &mut |_| ())?;
        ensure!(!loaded.has_value_head(), "{model} is a reward model\n  fix: score answers with camelid score");
        identity.weights = Some(weights_hash::of(&loaded)?);
        drop(loaded);
        let (service, text) = engine::start(model, &args.engine, args.weights, &args.machine)?;
        let sampling = Sampling::plain(args.seed);
        Box::new(ServiceGenerator::new(Arc::clone(&service) as _, text, model, sampling))
    };
    Ok(Opened { generator, strategy, log_probs, seed: args.seed, identity })
}

/// Where the certificate of a judge is kept.
pub(super) fn place(folder: &Path, hash: &str) -> std::path::PathBuf {
    folder.join(format!("{hash}.json"))
}

/// What is known of a judge. A file that is there and cannot be read is an error, not an absence.
pub(super) fn standing(folder: &Path, hash: &str) -> anyhow::Result<Standing> {
    let path = place(folder, hash);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Standing::Unknown),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let certificate: Certificate = serde_json::from_str(&text)
        .with_context(|| format!("{} is no certificate\n  fix: certify the judge again", path.display()))?;
    Ok(certificate.standing(hash))
}

/// Why figures of a judge are refused under `--require-certificate`.
pub(super) fn not_certified(model: &str, strategy: &str, objections: &[String]) -> anyhow::Error {
    anyhow::anyhow!(
        "{model} with {strategy} is not certified: {}\n  fix: camelid judge certify, or leave out --require-certificate",
        objections.join("; ")
    )
}
