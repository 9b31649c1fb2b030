//! The monitor: what it says of a policy whose rewards and distances are known, that training does not feel it, and that it goes on as
//! if a run had never been killed.

#[allow(dead_code, reason = "each test file uses its part")]
mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use camelid_objectives::reinforcement::policy_gradient::PolicyGradient;
use camelid_objectives::reinforcement::shaping::Shaping;
use camelid_text::Encoded;
use camelid_train::rewards::{Candidate, Given, Reward, Rewards, Term};
use camelid_train::{
    Answerer, Asked, Baseline, DISTANCES, Drawing, Ended, Evaluation, Example, GroupTask, Label, Monitor,
    MonitorReference, Prompt, Reduction, ReferenceSource, Requests, Rollouts, RunDirectory, Schedule, SftTask, Shape,
    Task, TrainError, Trainer, TrainingData, TrainingPlan,
};
use serde_json::Value as Json;
use support::run::{Log, Then, outcome, state};
use support::{Table, plan, records, text};

/// What an answer's first token is worth.
struct First(fn(u32) -> f64);

impl Reward for First {
    fn name(&self) -> &'static str {
        "first"
    }

    fn rewards(&mut self, candidates: &[Candidate<'_>]) -> Result<Vec<Given>, TrainError> {
        let first = |sequence: &Encoded| sequence.tokens[sequence.tokens.len() - sequence.trained()];
        Ok(candidates.iter().map(|candidate| (self.0)(first(candidate.sequence)).into()).collect())
    }
}

fn rollouts(worth: fn(u32) -> f64, samples: usize) -> Rollouts {
    let drawing = Drawing { samples, answer_tokens: 3, seed: 5, evaluation: Evaluation::Sampled };
    let rewards = Rewards { terms: vec![Term { weight: 1.0, reward: Box::new(First(worth)) }] };
    Rollouts { drawing, text: text(), rewards, answerer: Answerer::Own }
}

fn prompts(count: u32) -> Vec<Example> {
    let example = |record: u32| Example {
        sequences: vec![Encoded { tokens: vec![2 + record % 20, 0], weights: vec![0.0; 2], record }],
        label: Label::Prompt(Box::new(Prompt { asked: Asked::Text(String::new()), expected: None })),
    };
    (0..count).map(example).collect()
}

/// Early letters first.
fn early(token: u32) -> f64 {
    1.0 - f64::from(token) / 30.0
}

/// Late ones: what is trained for is the opposite.
fn late(token: u32) -> f64 {
    f64::from(token) / 30.0
}

/// Letters that lie on the way from where the policy starts to the earliest.
fn middling(token: u32) -> f64 {
    1.0 - (f64::from(token) - 8.0).powi(2) / 100.0
}

fn monitor(worth: fn(u32) -> f64, prompts_of: u32) -> Monitor {
    let reference = MonitorReference::Other(Box::new(Table::new()));
    let mut monitor = Monitor::new(prompts(prompts_of), rollouts(worth, 1), reference, 1000);
    monitor.every = 2;
    monitor
}

fn group() -> GroupTask {
    GroupTask {
        method: PolicyGradient::new(0.2),
        baseline: Baseline::LeaveOneOut,
        shaping: Shaping::default(),
        reference: ReferenceSource::AdapterOff.want(),
        rollouts: rollouts(early, 4),
    }
}

fn steep() -> TrainingPlan {
    let schedule =
        Schedule { shape: Shape::Constant, learning_rate: 0.2, warmup: 0.0, final_share: 0.0, decay_share: 0.1 };
    TrainingPlan { epochs: 5.0, batch_size: 9, eval_every: 0, checkpoint_every: 3, schedule, ..plan() }
}

fn run(
    folder: &Path,
    plan: &TrainingPlan,
    task: &mut dyn Task,
    training: &[Example],
    monitor: Option<&mut Monitor>,
    (engine, log): (&mut Table, &mut Log),
) -> Result<Ended, TrainError> {
    let requests = Requests::default();
    let name = |record: u32| format!("data:{}", record + 1);
    let data = TrainingData { training, validation: &[], name: &name };
    let directory = RunDirectory::open(folder)?;
    let trainer = Trainer { plan, data, directory: &directory, run_hash: "hash".into(), requests: &requests };
    trainer.fit_monitored(task, engine, monitor, log)
}

/// Lines of a file, without times.
fn lines(folder: &Path, name: &str) -> Vec<Json> {
    fs::read_to_string(folder.join(name)).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn measured(folder: &Path) -> Vec<Json> {
    lines(folder, "metrics.jsonl").into_iter().filter(|line| line.get("monitor/reward").is_some()).collect()
}

fn numbers(line: &Json, key: &str) -> Vec<f64> {
    line[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn training_does_not_feel_it() {
    let (watched, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut engine, mut other) = (Table::new(), Table::new());
    let mut monitor = monitor(late, 40);
    let plan = steep();
    let training = prompts(18);
    run(watched.path(), &plan, &mut group(), &training, Some(&mut monitor), (&mut engine, &mut Log::default()))
        .unwrap();
    run(alone.path(), &plan, &mut group(), &training, None, (&mut other, &mut Log::default())).unwrap();
    assert!(state(&engine) == state(&other));
    let steps = |folder: &Path| -> Vec<String> {
        let losses = lines(folder, "metrics.jsonl").into_iter().filter(|line| line.get("loss").is_some());
        losses.map(|line| format!("{} {} {}", line["step"], line["loss"], line["objective/scores"])).collect()
    };
    assert_eq!(steps(watched.path()), steps(alone.path()));
    assert!(!alone.path().join(DISTANCES).exists());
    // Of demonstrations too, which have no reward of their own.
    let training: Vec<Example> = records(18).into_iter().map(Example::from).collect();
    let states = [true, false].map(|watched| {
        let folder = tempfile::tempdir().unwrap();
        let (mut engine, mut task) = (Table::new(), SftTask { reduction: Reduction::Tokens });
        let mut monitor = self::monitor(late, 40);
        let monitor = watched.then_some(&mut monitor);
        run(folder.path(), &plan, &mut task, &training, monitor, (&mut engine, &mut Log::default())).unwrap();
        if watched {
            assert!(measured(folder.path()).iter().all(|line| line.get("monitor/proxy").is_none()));
            assert!(lines(folder.path(), DISTANCES).iter().all(|line| line["proxy"] == serde_json::json!([])));
        }
        state(&engine)
    });
    assert!(states[0] == states[1]);
}

/// The KL and both rewards are those of the policy, which is a table and can be asked.
#[test]
fn what_is_measured_is_what_the_policy_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Table::new();
    let mut monitor = monitor(late, 3000);
    monitor.rollouts.drawing.answer_tokens = 1;
    let plan = steep();
    run(folder.path(), &plan, &mut group(), &prompts(18), Some(&mut monitor), (&mut engine, &mut Log::default()))
        .unwrap();
    let (metrics, distances) = (measured(folder.path()), lines(folder.path(), DISTANCES));
    let steps: Vec<u64> = metrics.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [0, 2, 4, 6, 8, 10]);
    assert_eq!(distances.iter().map(|line| line["step"].as_u64().unwrap()).collect::<Vec<_>>(), steps);
    // At the start the policy is the reference, bit for bit.
    assert!(numbers(&distances[0], "kl").iter().all(|&kl| kl == 0.0));
    assert_eq!((&metrics[0]["monitor/kl"], &metrics[0]["monitor/sqrt_kl"]), (&0.0.into(), &0.0.into()));
    for (line, distances) in metrics.iter().zip(&distances) {
        for (name, key) in [("reward", "gold"), ("proxy", "proxy"), ("kl", "kl")] {
            let value = line[format!("monitor/{name}")].as_f64().unwrap();
            assert!((value - mean(&numbers(distances, key))).abs() < 1e-12, "{name}");
        }
        assert_eq!(line["monitor/answer_tokens"].as_f64(), Some(1.0));
        // What the one is worth the other is not, up to a constant.
        let sum = line["monitor/reward"].as_f64().unwrap() + line["monitor/proxy"].as_f64().unwrap();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    }
    // Every answer is one token after token 0.
    let (policy, start) = (engine.probabilities(0), Table::new().probabilities(0));
    let exact: f64 = policy.iter().zip(&start).map(|(p, q)| p * (p / q).ln()).sum();
    let kl = numbers(&distances[5], "kl");
    let error = (kl.iter().map(|k| (k - exact).powi(2)).sum::<f64>() / kl.len() as f64 / kl.len() as f64).sqrt();
    assert!(exact > 0.3 && (mean(&kl) - exact).abs() < 4.0 * error, "{} is not {exact} +- {error}", mean(&kl));
    let gold: f64 = policy.iter().zip(0..).map(|(p, token)| p * late(token)).sum();
    assert!((mean(&numbers(&distances[5], "gold")) - gold).abs() < 0.02);
}

#[test]
fn it_stops_where_the_reward_falls_and_takes_the_highest() {
    let (folder, before) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plan = TrainingPlan { epochs: 30.0, ..steep() };
    let (mut engine, mut log) = (Table::new(), Log::default());
    let mut monitor = monitor(middling, 200);
    (monitor.every, monitor.patience) = (1, 2);
    let training = prompts(18);
    let ended =
        run(folder.path(), &plan, &mut group(), &training, Some(&mut monitor), (&mut engine, &mut log)).unwrap();
    assert_eq!(ended, Ended::OverOptimised);
    let gold: Vec<f64> = measured(folder.path()).iter().map(|line| line["monitor/reward"].as_f64().unwrap()).collect();
    let best = gold.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u64;
    assert!(
        log.steps.len() < 30 && log.best == Some(best) && best > 0,
        "{} steps, {gold:?}, {:?}",
        log.steps.len(),
        log.best
    );
    assert!(gold[gold.len() - 1] < gold[best as usize]);
    // The state is that after the best step.
    let mut whole = Table::new();
    let until = TrainingPlan { max_steps: best, ..plan.clone() };
    run(before.path(), &until, &mut group(), &training, None, (&mut whole, &mut Log::default())).unwrap();
    assert!(state(&engine)[0] == state(&whole)[0]);
    // Called again it is over.
    let again = run(
        folder.path(),
        &plan,
        &mut group(),
        &training,
        Some(&mut monitor),
        (&mut Table::new(), &mut Log::default()),
    );
    assert_eq!(again.unwrap(), Ended::OverOptimised);
    // Without patience it goes on to the end.
    let folder = tempfile::tempdir().unwrap();
    let plan = TrainingPlan { max_steps: 20, ..plan };
    let mut monitor = self::monitor(middling, 200);
    let ended = run(
        folder.path(),
        &plan,
        &mut group(),
        &training,
        Some(&mut monitor),
        (&mut Table::new(), &mut Log::default()),
    );
    assert_eq!(ended.unwrap(), Ended::Finished);
}

#[test]
fn dying_between_any_two_calls_costs_no_bit_and_no_measurement() {
    for patience in [0, 2] {
        let plan = TrainingPlan { epochs: 8.0, checkpoint_every: 4, ..steep() };
        let training = prompts(18);
        let go = |folder: &Path, log: &mut Log| {
            let mut monitor = monitor(middling, 60);
            (monitor.every, monitor.patience) = (2, patience);
            let mut engine = Table::new();
            let ended = run(folder, &plan, &mut group(), &training, Some(&mut monitor), (&mut engine, log)).unwrap();
            (outcome(folder, ended, &engine), fs::read_to_string(folder.join(DISTANCES)).unwrap())
        };
        let whole = tempfile::tempdir().unwrap();
        let expected = go(whole.path(), &mut Log::default());
        assert!(expected.1.lines().count() >= 4, "{} measurements", expected.1.lines().count());
        let mut call = 0;
        loop {
            call += 1;
            let folder = tempfile::tempdir().unwrap();
            let mut log = Log::and(Then::DieIn(call));
            if catch_unwind(AssertUnwindSafe(|| go(folder.path(), &mut log))).is_ok() {
                break;
            }
            assert!(go(folder.path(), &mut Log::default()) == expected, "patience {patience}, call {call}");
        }
        assert!(call > 15, "{call}");
    }
}

/// A reference that is a forward pass of the engine itself gives the same measurements as an engine of its own.
#[test]
fn the_reference_may_be_the_engines_own() {
    let files = [true, false].map(|own| {
        let folder = tempfile::tempdir().unwrap();
        let mut monitor = monitor(late, 40);
        if own {
            monitor.reference = MonitorReference::Own(ReferenceSource::AdapterOff.want());
        }
        let log = &mut Log::default();
        run(folder.path(), &steep(), &mut group(), &prompts(18), Some(&mut monitor), (&mut Table::new(), log)).unwrap();
        fs::read_to_string(folder.path().join(DISTANCES)).unwrap()
    });
    assert!(files[0] == files[1]);
}
