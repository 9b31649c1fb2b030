//! Many cases before one judge.

use camelid_records::{Assessment, Judgement, Reply, Verdict};

use crate::ask::Asker;
use crate::baseline::Baseline;
use crate::case::Case;
use crate::strategy::{MOST_ROUNDS, Question, Step, Strategy};

/// A judge: a model under a strategy, or a baseline.
pub enum Judge<'j> {
    Asked { asker: Asker<'j>, strategy: &'j dyn Strategy },
    Baseline(Baseline),
}

/// Cases that go through their rounds together. Larger groups keep an engine busier; smaller ones lose less when a run is stopped.
pub const GROUP: usize = 64;

/// The key of a case before a judge: equal keys ask for the same judgement.
pub fn key(judge: &str, case: &Case) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    };
    add(judge);
    add(&case.id);
    for turns in [&case.turns, &case.outputs[0], &case.outputs[1]] {
        add(&turns.len().to_string());
        for turn in turns {
            add(turn);
        }
    }
    case.references.iter().flatten().for_each(|turn| add(turn));
    hasher.finalize().to_hex()[..32].to_owned()
}

impl Judge<'_> {
    /// Judges all cases, [`GROUP`] at a time. `identity` is the judge's hash; `done` gets the place of a case and its judgement as soon as
    /// the group is through, and returns whether to go on. Every case that was begun gets a judgement, whatever its calls came to.
    pub fn judge(&self, identity: &str, cases: &[Case], done: &mut dyn FnMut(usize, Judgement) -> bool) {
        let mut start = 0;
        for group in cases.chunks(GROUP) {
            let judged = self.group(group);
            for (place, (case, (assessment, rounds))) in group.iter().zip(judged).enumerate() {
                let judgement = Judgement {
                    key: key(identity, case),
                    id: case.id.clone(),
                    group: case.group.clone(),
                    judge: identity.to_owned(),
                    lengths: case.lengths(),
                    assessment,
                    rounds,
                };
                if !done(start + place, judgement) {
                    return;
                }
            }
            start += group.len();
        }
    }

    fn group(&self, cases: &[Case]) -> Vec<(Assessment, Vec<Vec<Reply>>)> {
        let (asker, strategy) = match self {
            Self::Baseline(baseline) => return cases.iter().map(|case| (baseline.judge(case), Vec::new())).collect(),
            Self::Asked { asker, strategy } => (asker, *strategy),
        };
        let mut rounds: Vec<Vec<Vec<Reply>>> = cases.iter().map(|_| Vec::new()).collect();
        let mut assessed: Vec<Option<Assessment>> = cases.iter().map(|_| None).collect();
        for round in 0..=MOST_ROUNDS {
            let (mut questions, mut salts, mut counts) = (Vec::<Question>::new(), Vec::<u64>::new(), Vec::new());
            for (place, case) in cases.iter().enumerate() {
                if assessed[place].is_some() {
                    continue;
                }
                match strategy.step(case, &rounds[place]) {
                    Step::Done(assessment) => assessed[place] = Some(assessment),
                    Step::Ask(asked) => {
                        salts.extend((0..asked.len()).map(|question| salt(case, round, question)));
                        counts.push((place, asked.len()));
                        questions.extend(asked);
                    }
                }
            }
            if questions.is_empty() {
                break;
            }
            let mut replies = asker.ask(&questions, &salts).into_iter();
            for (place, count) in counts {
                rounds[place].push(replies.by_ref().take(count).collect());
            }
        }
        let unfinished = || Assessment::same(Verdict::Unparsed);
        assessed.into_iter().zip(rounds).map(|(found, rounds)| (found.unwrap_or_else(unfinished), rounds)).collect()
    }
}

/// Equal cases draw alike whatever else is judged with them.
fn salt(case: &Case, round: usize, question: usize) -> u64 {
    let text = format!("{}\n{round}\n{question}", key("", case));
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(first)
}
