//! Stages that learn from chosen answers: what they learn, what they leave out, and that a killed run goes on in the same bits.

#[allow(dead_code, reason = "each test file uses its part")]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use camelid_model::{Engine, Want};
use camelid_objectives::preference::dpo::Dpo;
use camelid_objectives::preference::rrhf::Rrhf;
use camelid_objectives::preference::rso::{Form, Rso};
use camelid_objectives::preference::{Method, PairLoss};
use camelid_objectives::reinforcement::shaping::Shaping;
use camelid_objectives::selection::rule::Rule;
use camelid_records::PairChoice;
use camelid_text::{Encoded, Forest};
use camelid_train::checks::generator_is_trainer;
use camelid_train::rewards::{Candidate, Given, Reward, Rewards, Term};
use camelid_train::{
    Asked, Drawing, Evaluation, Example, ExpertIterationTask, Label, OnlinePreferenceTask, Pairing, PreferenceTask,
    Prompt, Purpose, QuarkTask, Reduction, Reference, ReferenceSource, Rolled, Rollouts, Round, RunDirectory, Sampler,
    SftTask, Task, TrainError, TrainingPlan,
};
use support::run::{Log, Outcome, Then, fit_task, outcome, state};
use support::{Fault, Table, VOCABULARY, plan, text};

const BINS: u32 = 4;
/// The first of the tokens that stand for bins, after which answers do not end at once.
const LABELS: u32 = VOCABULARY as u32 - BINS;

/// 1 for an answer that begins with the first letter, less for later ones, 0 for none; times a number.
struct FirstLetter(f64);

impl Reward for FirstLetter {
    fn name(&self) -> &'static str {
        "letter"
    }

    fn rewards(&mut self, candidates: &[Candidate<'_>]) -> Result<Vec<Given>, TrainError> {
        let first = |sequence: &Encoded| sequence.tokens[sequence.tokens.len() - sequence.trained()];
        Ok(candidates.iter().map(|candidate| (self.0 * worth(first(candidate.sequence))).into()).collect())
    }
}

fn worth(token: u32) -> f64 {
    if token < 2 { 0.0 } else { 1.0 - f64::from(token - 2) / 30.0 }
}

/// What an answer after `last` is worth on average: over all first tokens, nothing sampled.
fn expected(engine: &Table, last: u32) -> f64 {
    (0..VOCABULARY as u32).map(|next| engine.log_prob(last, next).exp() * worth(next)).sum()
}

fn rollouts(sign: f64) -> Rollouts {
    let drawing = Drawing { samples: 8, answer_tokens: 12, seed: 5, evaluation: Evaluation::Greedy };
    let terms = vec![Term { weight: 1.0, reward: Box::new(FirstLetter(sign)) }];
    Rollouts { drawing, text: text(), rewards: Rewards { terms } }
}

/// Prompts of two tokens, the last one of four; with labels, behind each of them too.
fn prompts(labelled: bool) -> Vec<Example> {
    let example = |record: u32| {
        let sequence = |tokens: Vec<u32>| Encoded { weights: vec![0.0; tokens.len()], tokens, record };
        let labels = (LABELS..LABELS + BINS).filter(|_| labelled);
        let plain = vec![2 + record, LABELS + record % BINS];
        Example {
            sequences: std::iter::once(plain.clone())
                .chain(labels.map(|label| [plain.clone(), vec![label]].concat()))
                .map(sequence)
                .collect(),
            label: Label::Prompt(Box::new(Prompt { asked: Asked::Text(String::new()), expected: None })),
        }
    };
    (0..12).map(example).collect()
}

fn expert(rule: Rule, sign: f64) -> ExpertIterationTask {
    let learning = SftTask { reduction: Reduction::Tokens };
    let shaping = Shaping::default();
    ExpertIterationTask { rule, learning, demonstrations: false, shaping, rollouts: rollouts(sign) }
}

fn quark(sign: f64) -> QuarkTask {
    let reference = ReferenceSource::AdapterOff.want();
    QuarkTask::new(0.05, reference, 16, 3, Shaping::default(), rollouts(sign))
}

fn online(loss: impl PairLoss + 'static, sampler: Sampler, pairing: Pairing, sign: f64) -> OnlinePreferenceTask {
    online_by(Method::Pairs(Box::new(loss)), sampler, pairing, sign)
}

fn online_by(method: Method, sampler: Sampler, pairing: Pairing, sign: f64) -> OnlinePreferenceTask {
    let preference = PreferenceTask { method, reference: Reference::new(ReferenceSource::AdapterOff, String::new()) };
    OnlinePreferenceTask {
        preference,
        sampler,
        pairing,
        seed: 3,
        shaping: Shaping::default(),
        rollouts: rollouts(sign),
    }
}

const REJECTION: Sampler = Sampler::Rejection { beta: 0.5, keep: 6 };
const ALL: Pairing = Pairing::Choice(PairChoice::All);

type Make = fn(f64) -> Box<dyn Task>;

/// Name, whether its prompts have labels, the task by the reward's sign.
const METHODS: [(&str, bool, Make); 7] = [
    ("best", false, |sign| Box::new(expert(Rule::Best { keep: 2 }, sign))),
    ("threshold", false, |sign| Box::new(expert(Rule::Threshold { above: 0.7 }, sign))),
    ("right", false, |sign| Box::new(expert(Rule::Right { from: if sign > 0.0 { 0.7 } else { -0.3 } }, sign))),
    ("quantiles", true, |sign| Box::new(quark(sign))),
    ("online dpo", false, |sign| Box::new(online(Dpo::new(0.1), Sampler::Policy, ALL, sign))),
    ("online rrhf", false, |sign| {
        let method = Method::List(Box::new(Rrhf { rank_weight: 1.0 }));
        Box::new(online_by(method, Sampler::Policy, ALL, sign))
    }),
    ("rso", false, |sign| {
        let loss = Rso { form: Form::SigmoidNorm, gamma: 0.05 };
        Box::new(online(loss, REJECTION, Pairing::FirstRound, sign))
    }),
];

fn rounds() -> TrainingPlan {
    TrainingPlan { epochs: 20.0, eval_every: 0, checkpoint_every: 0, ..plan() }
}

fn fit(folder: &Path, plan: &TrainingPlan, task: &mut dyn Task, labelled: bool, log: &mut Log) -> (Table, Outcome) {
    let mut engine = Table::that_ends(Fault::None);
    let data = [prompts(labelled), prompts(labelled)[..3].to_vec()];
    let directory = RunDirectory::open(folder).unwrap();
    let ended = fit_task(&directory, plan, task, &data, "hash", &mut engine, log).unwrap();
    let outcome = outcome(folder, ended, &engine);
    (engine, outcome)
}

fn trained(task: &mut dyn Task, labelled: bool) -> (Table, Log) {
    let (folder, mut log) = (tempfile::tempdir().unwrap(), Log::default());
    let (engine, _) = fit(folder.path(), &rounds(), task, labelled, &mut log);
    (engine, log)
}

/// With equal samples each method raises the mean reward; where the reward is turned round it falls.
#[test]
fn each_method_learns_what_is_rewarded() {
    for (name, labelled, make) in METHODS {
        let asked: Vec<u32> = (LABELS..LABELS + BINS).skip(if labelled { BINS as usize - 1 } else { 0 }).collect();
        let mean = |engine: &Table| asked.iter().map(|&last| expected(engine, last)).sum::<f64>() / asked.len() as f64;
        let start = mean(&Table::that_ends(Fault::None));
        let up = mean(&trained(make(1.0).as_mut(), labelled).0);
        let down = mean(&trained(make(-1.0).as_mut(), labelled).0);
        assert!(up > start + 0.1 && down < start - 0.1, "{name}: from {start:.3} to {up:.3}, turned round {down:.3}");
    }
}

/// With several updates a round and validation, in whichever call the process ends.
#[test]
fn dying_between_any_two_calls_costs_no_bit() {
    let plan =
        TrainingPlan { epochs: 1.0, inner_epochs: 2, mini_batches: 2, eval_every: 2, checkpoint_every: 1, ..plan() };
    for (name, labelled, make) in METHODS {
        let whole = tempfile::tempdir().unwrap();
        let expected = fit(whole.path(), &plan, make(1.0).as_mut(), labelled, &mut Log::default()).1;
        let mut call = 0;
        loop {
            call += 1;
            let folder = tempfile::tempdir().unwrap();
            let mut log = Log::and(Then::DieIn(call));
            let run = || fit(folder.path(), &plan, make(1.0).as_mut(), labelled, &mut log);
            if catch_unwind(AssertUnwindSafe(run)).is_ok() {
                break;
            }
            let again = fit(folder.path(), &plan, make(1.0).as_mut(), labelled, &mut Log::default()).1;
            assert!(again == expected, "{name}, call {call}");
        }
        assert!(call > expected.metrics.len() + 1, "{name}: {call} calls");
    }
}

/// The pool is what makes a round depend on those before it: without it a resumed run would be another.
#[test]
fn a_pool_is_part_of_the_checkpoint() {
    let mut task = quark(1.0);
    trained(&mut task, true);
    let state = task.state();
    let mut other = quark(1.0);
    other.restore(&state);
    let engine = &mut Table::that_ends(Fault::None);
    let (after, restored) = (roll(&mut task, engine, &prompts(true), 24), roll(&mut other, engine, &prompts(true), 24));
    assert_eq!(after, restored);
    assert_ne!(after.examples, roll(&mut quark(1.0), engine, &prompts(true), 24).examples);
    // Sixteen prompts with eight answers each stay of all that were asked.
    let answers = |rolled: &Rolled| metric(rolled, "pool/answers");
    assert_eq!(answers(&after), Some(128.0));
}

/// Quark asks for the best, in training and in validation, and learns each answer behind the label of its bin.
#[test]
fn answers_stand_behind_the_label_of_their_bin() {
    let (mut engine, prompts) = (Table::that_ends(Fault::None), prompts(true));
    let rolled = roll(&mut quark(1.0), &mut engine, &prompts, 0);
    let learned = rolled.examples.iter().flat_map(|example| {
        let Label::Sampled(rollouts) = &example.label else { panic!("not sampled") };
        example.sequences.iter().map(|sequence| sequence.tokens[2]).zip(rollouts.iter().map(|rollout| rollout.reward))
    });
    let learned: Vec<(u32, f64)> = learned.collect();
    assert_eq!(learned.len(), 12 * 8);
    for (label, reward) in &learned {
        assert!((LABELS..LABELS + BINS).contains(label));
        assert!(learned.iter().all(|(other, less)| other >= label || less < reward), "{learned:?}");
    }
    engine.insist(LABELS + BINS - 1, 2);
    for purpose in [Purpose::Training, Purpose::Evaluation] {
        assert_eq!(metric(&roll_for(purpose, &mut quark(1.0), &mut engine, &prompts, 1), "reward"), Some(1.0));
    }
}

fn roll(task: &mut dyn Task, engine: &mut Table, prompts: &[Example], step: u64) -> Rolled {
    roll_for(Purpose::Training, task, engine, prompts, step)
}

fn roll_for(purpose: Purpose, task: &mut dyn Task, engine: &mut Table, prompts: &[Example], step: u64) -> Rolled {
    let examples: Vec<&Example> = prompts.iter().collect();
    let round = Round { examples: &examples, step, purpose, token_budget: 64 };
    task.roll_out(engine, &round).unwrap().unwrap()
}

fn metric(rolled: &Rolled, name: &str) -> Option<f64> {
    rolled.metrics.iter().find(|metric| metric.name == name).and_then(|metric| metric.value.mean())
}

/// A round in which nothing stands out changes nothing, and says so.
#[test]
fn nothing_chosen_is_nothing_learned() {
    let rules = [Rule::Best { keep: 2 }, Rule::Threshold { above: 0.7 }, Rule::Right { from: 0.5 }];
    let mut tasks: Vec<Box<dyn Task>> = rules.map(|rule| Box::new(expert(rule, 0.0)) as Box<dyn Task>).into();
    tasks.push(Box::new(online(Dpo::new(0.1), Sampler::Policy, ALL, 0.0)));
    tasks.push(Box::new(online(Dpo::new(0.1), REJECTION, Pairing::FirstRound, 0.0)));
    for (place, mut task) in tasks.into_iter().enumerate() {
        let (engine, log) = trained(task.as_mut(), false);
        assert!(state(&engine) == state(&Table::that_ends(Fault::None)) && engine.seen.is_empty(), "{place}");
        for report in &log.steps {
            let left_out = if place < 3 {
                1.0 - report.metrics["selected/share"]
            } else {
                report.metrics["pairs/prompts_without"]
            };
            assert_eq!(left_out, 1.0, "{place}");
            assert!(report.loss.is_nan() && report.num_tokens == 0, "{place}");
        }
    }
}

/// What is learned is what was chosen, and the data's own answers where they are asked for.
#[test]
fn chosen_answers_and_demonstrations_are_what_is_learned() {
    let mut examples = prompts(false);
    for (record, example) in (0..).zip(&mut examples) {
        let demonstration =
            Encoded { tokens: vec![2 + record, LABELS, 9, 1], weights: vec![0.0, 0.0, 1.0, 1.0], record };
        example.sequences.push(demonstration);
    }
    let engine = &mut Table::that_ends(Fault::None);
    let chosen = roll(&mut expert(Rule::Best { keep: 2 }, 1.0), engine, &examples, 0);
    let both = roll(
        &mut ExpertIterationTask { demonstrations: true, ..expert(Rule::Best { keep: 2 }, 1.0) },
        engine,
        &examples,
        0,
    );
    assert_eq!(both.examples[..chosen.examples.len()], chosen.examples);
    let added: Vec<&Encoded> =
        both.examples[chosen.examples.len()..].iter().flat_map(|example| &example.sequences).collect();
    assert_eq!(added, examples.iter().map(|example| &example.sequences[1]).collect::<Vec<_>>());
    // Two of eight, all of which ended, from every prompt; the best are better than all.
    for example in &chosen.examples {
        assert_eq!(example.sequences.len(), 2);
        assert!(example.sequences.iter().all(|sequence| sequence.tokens.last() == Some(&1)));
    }
    assert_eq!((metric(&chosen, "selected/share"), metric(&chosen, "selected/prompts")), (Some(0.25), Some(1.0)));
    assert!(metric(&chosen, "selected/reward") > metric(&chosen, "reward"));
}

/// A prompt's new answers never meet the sums of old ones, nor those of the same prompt elsewhere in the batch.
#[test]
fn the_reference_is_of_this_rounds_answers() {
    let mut task = online(Dpo::new(0.5), Sampler::Policy, ALL, 1.0);
    let mut engine = Table::that_ends(Fault::None);
    // One record three times, as where one epoch ends and the next begins.
    let examples = vec![prompts(false)[4].clone(); 3];
    let mut all = Vec::new();
    for step in 0..3 {
        let rolled = roll(&mut task, &mut engine, &examples, step);
        assert_eq!(rolled.examples.len(), 3);
        for example in &rolled.examples {
            let Label::Ranked(ranking) = &example.label else { panic!("not ranked") };
            for (sequence, &sum) in example.sequences.iter().zip(&ranking.reference) {
                let scores = engine.forward(&Forest::dense(&[sequence]), Want::default()).unwrap();
                let log_prob: f64 = scores.log_probs.iter().map(|&log_prob| f64::from(log_prob)).sum();
                assert!((log_prob - sum).abs() < 1e-9, "{log_prob} is not {sum}");
            }
            all.push(example.sequences.clone());
        }
        // So policy and reference agree in every round.
        let examples: Vec<&Example> = rolled.examples.iter().collect();
        task.begin(&mut engine, &examples, 64, Purpose::Training).unwrap();
        let sequences: Vec<&Encoded> = examples.iter().flat_map(|example| &example.sequences).collect();
        let scored = task.score(&mut engine, &examples, &Forest::from_sequences(&sequences), Want::default()).unwrap();
        assert!((scored.loss.mean().unwrap() - std::f64::consts::LN_2).abs() < 1e-12);
    }
    assert!((1..9).all(|place| !all[..place].contains(&all[place])), "all draws differ");
}

#[test]
fn better_answers_come_first_and_equal_ones_are_not_compared() {
    for (sampler, pairing) in [(Sampler::Policy, ALL), (REJECTION, Pairing::FirstRound), (REJECTION, ALL)] {
        let mut task = online(Dpo::new(0.5), sampler, pairing, 1.0);
        let rolled = roll(&mut task, &mut Table::that_ends(Fault::None), &prompts(false), 0);
        assert!(!rolled.examples.is_empty());
        for example in &rolled.examples {
            let Label::Ranked(ranking) = &example.label else { panic!("not ranked") };
            let score = |place: usize| ranking.scores[place].unwrap();
            assert!(ranking.pairs.iter().all(|&(better, worse)| score(better) > score(worse)), "{ranking:?}");
            assert!((1..example.sequences.len()).all(|place| score(place - 1) >= score(place)));
            let most = if sampler == REJECTION { 6 } else { 8 };
            assert!(example.sequences.len() <= most);
            if pairing == Pairing::FirstRound {
                assert_eq!(example.sequences.len(), 2 * ranking.pairs.len());
            }
        }
    }
}

#[test]
fn the_generator_is_the_trainer_or_the_check_says_so() {
    for (name, labelled, make) in METHODS {
        let examples = prompts(labelled);
        let examples: Vec<&Example> = examples.iter().collect();
        let check = |fault| generator_is_trainer(&mut Table::that_ends(fault), make(1.0).as_mut(), &examples);
        let report = check(Fault::None).unwrap();
        assert!(
            report.detail.starts_with("0 of ") && !report.detail.starts_with("0 of 0 "),
            "{name}: {}",
            report.detail
        );
        let failed = check(Fault::DecodingDiffers).unwrap_err().to_string();
        assert!(failed.contains("generator equals trainer"), "{name}: {failed}");
    }
    let mut sft = SftTask { reduction: Reduction::Tokens };
    let examples = prompts(false);
    let missing = generator_is_trainer(&mut Table::new(), &mut sft, &examples.iter().collect::<Vec<_>>());
    assert!(missing.unwrap_err().to_string().contains("draws no answers"));
}
