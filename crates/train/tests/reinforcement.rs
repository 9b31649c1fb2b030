//! Rewards of the policy's own samples: what PPO ends at, what a first round must look like, and that a killed run goes on in
//! the same bits, value model included.

#[allow(dead_code, reason = "each test file uses its part")]
mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use camelid_model::{Cotangents, Engine, Want};
use camelid_objectives::Outcome as LossOutcome;
use camelid_objectives::reinforcement::kl::{AdaptiveController, Estimator, FixedController};
use camelid_objectives::reinforcement::policy_gradient::PolicyGradient;
use camelid_objectives::reinforcement::ppo::Ppo;
use camelid_objectives::reinforcement::shaping::{MissingEnd, Scale, Shaping};
use camelid_text::{Encoded, Forest};
use camelid_train::checks::{CheckReport, Normalised, first_round};
use camelid_train::rewards::{Candidate, Given, Reward, Rewards, Term};
use camelid_train::{
    Asked, Baseline, Controller, Critic, Drawing, Evaluation, Example, GroupTask, Label, PpoMethod, PpoTask,
    Pretraining, Prompt, Purpose, ReferenceSource, Rolled, Rollout, Rollouts, Round, RunDirectory, Schedule,
    ScoreScale, Shape, Task, TrainError, TrainingPlan,
};
use serde_json::Value as Json;
use support::run::{Log, Outcome, Then, fit, fit_task, names, outcome, state};
use support::{Fault, Table, VOCABULARY, plan, records, text};

/// What an answer is worth by its tokens, each of them a letter or the end.
struct Worth(fn(&[u32]) -> f64);

impl Reward for Worth {
    fn name(&self) -> &'static str {
        "worth"
    }

    fn rewards(&mut self, candidates: &[Candidate<'_>]) -> Result<Vec<Given>, TrainError> {
        let answer = |sequence: &Encoded| sequence.tokens[sequence.tokens.len() - sequence.trained()..].to_vec();
        Ok(candidates.iter().map(|candidate| (self.0)(&answer(candidate.sequence)).into()).collect())
    }
}

/// Early letters first.
fn first_letter(answer: &[u32]) -> f64 {
    1.0 - f64::from(answer[0]) / 30.0
}

fn rollouts(worth: fn(&[u32]) -> f64, samples: usize, answer_tokens: usize) -> Rollouts {
    let drawing = Drawing { samples, answer_tokens, seed: 5, evaluation: Evaluation::Sampled };
    let terms = vec![Term { weight: 1.0, reward: Box::new(Worth(worth)) }];
    Rollouts { drawing, text: text(), rewards: Rewards { terms } }
}

fn prompts(count: u32) -> Vec<Example> {
    let example = |record: u32| Example {
        sequences: vec![Encoded { tokens: vec![2 + record % 20, 0], weights: vec![0.0; 2], record }],
        label: Label::Prompt(Box::new(Prompt { asked: Asked::Text(String::new()), expected: None })),
    };
    (0..count).map(example).collect()
}

fn method() -> PpoMethod {
    PpoMethod {
        loss: Ppo { value_coefficient: 1.0, ..Ppo::new() },
        discount: 1.0,
        lambda: 0.95,
        kl_estimator: Estimator::K1,
        missing_end: MissingEnd::Kept,
        score_scale: ScoreScale::Fixed(Scale::default()),
        whiten_rewards: false,
        whiten_advantages: true,
        target_kl: f64::INFINITY,
        reference: Some(ReferenceSource::AdapterOff.want()),
    }
}

fn fixed(coefficient: f64) -> Controller {
    Controller::Fixed(FixedController { coefficient })
}

fn ppo(rollouts: Rollouts, critic: Table, controller: Controller) -> PpoTask {
    PpoTask::new(method(), rollouts, Critic::new(Box::new(critic), 1.0), controller, None)
}

// What PPO ends at (O3).

const SAID: [u32; 4] = [1, 2, 3, 4];
const BETA: f64 = 0.5;

/// Some pairs of tokens are worth more than their parts.
fn of_pairs(answer: &[u32]) -> f64 {
    match answer {
        [1] => 0.2,
        [first, second] => (f64::from(*first) * 1.3).sin() + (f64::from(first * second) * 0.7).cos(),
        _ => f64::NAN,
    }
}

/// `E[r] - β KL` of a table over all answers of at most two tokens, nothing sampled.
fn objective(policy: &Table, reference: &Table) -> f64 {
    let (of_policy, of_reference) = (policy.probabilities(0), reference.probabilities(0));
    let mut sum = 0.0;
    for first in SAID {
        let (p, q) = (of_policy[first as usize], of_reference[first as usize]);
        let penalty = BETA * (p / q).ln();
        if first == 1 {
            sum += p * (of_pairs(&[first]) - penalty);
            continue;
        }
        for second in SAID {
            let (next, before) = (policy.log_prob(first, second), reference.log_prob(first, second));
            sum += p * next.exp() * (of_pairs(&[first, second]) - penalty - BETA * (next - before));
        }
    }
    sum
}

/// Its largest value: `β log Σ π_ref e^{r/β}` over all answers.
fn optimum(reference: &Table) -> f64 {
    let mut total = 0.0;
    for first in SAID {
        let p = reference.log_prob(0, first);
        if first == 1 {
            total += (p + of_pairs(&[first]) / BETA).exp();
            continue;
        }
        total += SAID
            .iter()
            .map(|&second| (p + reference.log_prob(first, second) + of_pairs(&[first, second]) / BETA).exp())
            .sum::<f64>();
    }
    BETA * total.ln()
}

fn after_ppo(kl_coefficient: f64) -> Table {
    let schedule =
        Schedule { shape: Shape::Cosine, learning_rate: 0.05, warmup: 0.0, final_share: 0.0, decay_share: 0.1 };
    let plan = TrainingPlan {
        epochs: 80.0,
        batch_size: 64,
        inner_epochs: 2,
        mini_batches: 2,
        eval_every: 0,
        checkpoint_every: 0,
        schedule,
        ..plan()
    };
    let mut engine = Table::that_says(&SAID);
    let mut task = ppo(rollouts(of_pairs, 1, 2), Table::new(), fixed(kl_coefficient));
    let folder = tempfile::tempdir().unwrap();
    let directory = RunDirectory::open(folder.path()).unwrap();
    fit_task(&directory, &plan, &mut task, &[prompts(64), Vec::new()], "", &mut engine, &mut Log::default()).unwrap();
    engine
}

#[test]
fn ppo_ends_at_the_optimum_of_reward_and_kl() {
    let reference = Table::that_says(&SAID);
    let best = optimum(&reference);
    assert!(objective(&reference, &reference) < best - 0.3);
    let reached = objective(&after_ppo(BETA), &reference);
    assert!(reached <= best + 1e-9 && reached > best - 0.02, "{reached} of {best}");
    // Without the penalty it goes elsewhere.
    assert!(objective(&after_ppo(0.0), &reference) < best - 0.1);
}

// A first round.

struct Faulty {
    inner: PpoTask,
    spoil: fn(&mut Rolled),
}

impl Task for Faulty {
    fn roll_out(&mut self, engine: &mut dyn Engine, round: &Round<'_>) -> Result<Option<Rolled>, TrainError> {
        let mut rolled = self.inner.roll_out(engine, round)?;
        rolled.iter_mut().for_each(self.spoil);
        Ok(rolled)
    }

    fn score(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        forest: &Forest,
        want: Want,
    ) -> Result<LossOutcome, TrainError> {
        self.inner.score(engine, examples, forest, want)
    }
}

fn check(engine: &mut Table, spoil: fn(&mut Rolled)) -> Result<Vec<CheckReport>, TrainError> {
    let inner = ppo(rollouts(first_letter, 2, 6), Table::new(), fixed(0.1));
    let prompts = prompts(4);
    first_round(engine, &mut Faulty { inner, spoil }, &text(), &prompts.iter().collect::<Vec<_>>(), Normalised::Yes)
}

fn each(rolled: &mut Rolled, change: fn(&mut Rollout)) {
    for example in &mut rolled.examples {
        let Label::Sampled(rollouts) = &mut example.label else { panic!("not sampled") };
        rollouts.iter_mut().for_each(change);
    }
}

#[track_caller]
fn fails(engine: &mut Table, spoil: fn(&mut Rolled), check_name: &str, expected: &str) {
    match check(engine, spoil) {
        Err(TrainError::Check { name, detail, fix }) => {
            assert_eq!(name, check_name, "{detail}");
            assert!(detail.contains(expected) && !fix.is_empty(), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_first_round_that_is_right_passes() {
    let mut engine = Table::that_ends(Fault::None);
    let reports = check(&mut engine, |_| {}).unwrap();
    let details: Vec<(&str, &str)> = reports.iter().map(|report| (report.name, report.detail.as_str())).collect();
    assert!(details[0].1.contains("8 answers, ") && details[0].1.contains("; 8 earn something"), "{details:?}");
    assert!(details[1].1.starts_with("0 of ") && details[1].1.ends_with("KL 0.0e0"), "{details:?}");
    assert!(details[2].1.contains("deviation 1.0000"), "{details:?}");
    assert!(details[3].1.starts_with("ratio 1, approximate KL 0, clipped 0 "), "{details:?}");
    // Neither gradients nor anything else is left behind.
    assert_eq!(state(&engine), state(&Table::that_ends(Fault::None)));
    engine
        .visit_gradients(&mut |gradient| {
            assert!(gradient.values.iter().all(|&value| value == 0.0));
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_reward_before_the_last_token_is_noticed() {
    let early = |rolled: &mut Rolled| each(rolled, |rollout| rollout.rewards.rotate_left(1));
    fails(&mut Table::new(), early, "rewards of tokens", "token ");
}

#[test]
fn padding_behind_an_answer_is_noticed() {
    let padded = |rolled: &mut Rolled| {
        for sequence in rolled.examples.iter_mut().flat_map(|example| &mut example.sequences) {
            sequence.tokens.push(0);
            sequence.weights.push(0.0);
        }
    };
    fails(&mut Table::that_ends(Fault::None), padded, "rewards of tokens", "learned tokens");
}

#[test]
fn an_end_that_is_none_is_noticed() {
    let unended = |rolled: &mut Rolled| each(rolled, |rollout| rollout.ended = !rollout.ended);
    fails(&mut Table::that_ends(Fault::None), unended, "rewards of tokens", "stop token");
}

#[test]
fn a_reference_that_is_another_model_is_noticed() {
    let mut engine = Table::with(Fault::ReferenceDiffers);
    // The penalty shows at the tokens first, unless it is not taken.
    let unpenalised = |rolled: &mut Rolled| {
        each(rolled, |rollout| {
            rollout.rewards.fill(0.0);
            *rollout.rewards.last_mut().unwrap() = rollout.given.score;
            rollout.reward = rollout.given.score;
        });
    };
    fails(&mut engine, unpenalised, "policy is reference", " log-probabilities differ; KL ");
    fails(&mut engine, |_| {}, "rewards of tokens", "earns ");
}

#[test]
fn advantages_over_the_wrong_set_are_noticed() {
    // Each answer for itself; half of them; before whitening.
    let alone = |rolled: &mut Rolled| {
        each(rolled, |rollout| {
            let mean = rollout.advantages.iter().sum::<f64>() / rollout.advantages.len() as f64;
            rollout.advantages.iter_mut().for_each(|advantage| *advantage -= mean);
        });
    };
    fails(&mut Table::new(), alone, "advantages", "deviation");
    let half = |rolled: &mut Rolled| each(rolled, |rollout| rollout.advantages.truncate(1));
    fails(&mut Table::new(), half, "advantages", "tokens");
    let shifted = |rolled: &mut Rolled| {
        each(rolled, |rollout| rollout.advantages.iter_mut().for_each(|advantage| *advantage += 0.1));
    };
    fails(&mut Table::new(), shifted, "advantages", "mean 1.0e-1");
}

#[test]
fn a_ratio_that_is_not_1_and_values_that_moved_are_noticed() {
    let moved = |rolled: &mut Rolled| {
        each(rolled, |rollout| {
            rollout.log_probs[0] -= 0.01;
            rollout.reference[0] -= 0.01;
        });
    };
    fails(&mut Table::new(), moved, "first update", "ratio 1.");
    let values = |rolled: &mut Rolled| each(rolled, |rollout| rollout.values[0] += 100.0);
    fails(&mut Table::new(), values, "first update", "of the values");
}

// Whole runs.

/// Everything that has a state: an adaptive coefficient, running scores, other records, an average.
fn full_task(critic: Table) -> PpoTask {
    let method = PpoMethod { score_scale: ScoreScale::Running { bound: 3.0 }, target_kl: 0.05, ..method() };
    let critic = Critic::new(Box::new(critic), 0.5);
    let controller = Controller::Adaptive(AdaptiveController::new(0.2, 0.5, 50.0));
    let beside = records(5).into_iter().map(Example::from).collect();
    let pretraining = Pretraining::new(beside, 0.5, 3, 7);
    PpoTask::new(method, rollouts(first_letter, 2, 6), critic, controller, Some(pretraining))
}

fn full_plan() -> TrainingPlan {
    TrainingPlan {
        epochs: 4.0,
        batch_size: 6,
        inner_epochs: 2,
        mini_batches: 2,
        eval_every: 2,
        ema: Some(0.9),
        ..plan()
    }
}

fn run(folder: &Path, engine: &mut Table, critic: Table, log: &mut Log) -> Result<Outcome, TrainError> {
    let directory = RunDirectory::open(folder)?;
    let examples = [prompts(12), prompts(4)];
    let ended = fit_task(&directory, &full_plan(), &mut full_task(critic), &examples, "hash", engine, log)?;
    Ok(outcome(folder, ended, engine))
}

fn go_on(folder: &Path) -> (Outcome, Log) {
    let mut log = Log::default();
    (run(folder, &mut Table::new(), Table::new(), &mut log).unwrap(), log)
}

fn uninterrupted() -> Outcome {
    go_on(tempfile::tempdir().unwrap().path()).0
}

#[test]
fn dying_between_any_two_calls_costs_no_bit() {
    let expected = uninterrupted();
    let steps: Vec<&Json> = expected.metrics.iter().filter(|line| line["loss"].is_number()).collect();
    for key in [
        "objective/kl",
        "objective/entropy",
        "objective/non_score_reward",
        "objective/rlhf_reward",
        "objective/scores",
        "policy/approxkl_avg",
        "policy/clipfrac_avg",
        "loss/policy_avg",
        "loss/value_avg",
        "loss/pretraining_avg",
        "val/clipfrac_avg",
        "val/ratio",
        "val/ratio_var",
        "val/num_eos_tokens",
        "kl_coefficient",
        "critic/vf_explained_var",
        "completions/mean_length",
    ] {
        assert!(steps.iter().all(|step| step[key].is_number()), "{key}: {:?}", steps[0]);
    }
    // The coefficient moved, and held-out answers say how far the policy is.
    assert!(steps[0]["kl_coefficient"] != steps[7]["kl_coefficient"]);
    assert!(expected.metrics.iter().any(|line| line["eval_objective/kl"].as_f64().is_some_and(|kl| kl != 0.0)));
    let mut call = 0;
    loop {
        call += 1;
        let folder = tempfile::tempdir().unwrap();
        let dies = || run(folder.path(), &mut Table::new(), Table::new(), &mut Log::and(Then::DieIn(call)));
        if catch_unwind(AssertUnwindSafe(dies)).is_ok() {
            break;
        }
        assert!(go_on(folder.path()).0 == expected, "call {call}");
    }
    assert!(call > expected.metrics.len() + 1, "{call} calls");
}

/// A checkpoint is all models or none.
#[test]
fn dying_while_the_value_model_is_written_costs_no_bit() {
    let expected = uninterrupted();
    for reading in [1, 2, 5, 6] {
        let folder = tempfile::tempdir().unwrap();
        let critic = Table::with(Fault::DiesInReading(reading));
        let dies = || run(folder.path(), &mut Table::new(), critic, &mut Log::default());
        assert!(catch_unwind(AssertUnwindSafe(dies)).is_err());
        let left = names(&folder.path().join("checkpoints"));
        assert!(left.iter().any(|name| name.starts_with(".writing-")), "{left:?}");
        assert!(go_on(folder.path()).0 == expected, "reading {reading}");
    }
}

#[test]
fn a_checkpoint_with_a_damaged_value_model_is_passed_over() {
    let expected = uninterrupted();
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &mut Table::new(), Table::new(), &mut Log::and(Then::StopAfter(5))).unwrap();
    let path = folder.path().join("checkpoints/step-5/value.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x80;
    fs::write(&path, bytes).unwrap();
    let (ended, log) = go_on(folder.path());
    assert!(log.warnings.len() == 1 && log.warnings[0].contains("step-5"), "{:?}", log.warnings);
    assert!(ended == expected && log.first_step == 4);
}

fn updates(folder: &Path, step: u64) -> u64 {
    let text = fs::read_to_string(folder.join(format!("checkpoints/step-{step}/trainer.json"))).unwrap();
    serde_json::from_str::<Json>(&text).unwrap()["progress"]["updates"].as_u64().unwrap()
}

#[test]
fn a_policy_that_went_far_enough_ends_the_step() {
    for (target_kl, expected) in [(f64::INFINITY, 8), (1e-12, 4)] {
        let method = PpoMethod { target_kl, ..method() };
        let critic = Critic::new(Box::new(Table::new()), 1.0);
        let mut task = PpoTask::new(method, rollouts(first_letter, 1, 6), critic, fixed(0.0), None);
        let plan = TrainingPlan { epochs: 1.0, batch_size: 6, inner_epochs: 4, eval_every: 0, ..plan() };
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::open(folder.path()).unwrap();
        let examples = [prompts(12), Vec::new()];
        fit_task(&directory, &plan, &mut task, &examples, "", &mut Table::new(), &mut Log::default()).unwrap();
        // The first update of a step starts where its answers were drawn; the second says how far that went.
        assert_eq!(updates(folder.path(), 2), expected);
    }
}

#[test]
fn other_records_add_gamma_times_their_mean() {
    let beside: Vec<Example> = records(5).into_iter().map(Example::from).collect();
    let prompts = prompts(2);
    let prompts: Vec<&Example> = prompts.iter().collect();
    let round = Round { examples: &prompts, step: 0, purpose: Purpose::Training, token_budget: 30 };
    let critic = Critic::new(Box::new(Table::new()), 1.0);
    let pretraining = Pretraining::new(beside.clone(), 27.8, 5, 7);
    let mut task = PpoTask::new(method(), rollouts(first_letter, 3, 6), critic, fixed(0.0), Some(pretraining));
    let mut engine = Table::new();
    let rolled = task.roll_out(&mut engine, &round).unwrap().unwrap();
    let examples: Vec<&Example> = rolled.examples.iter().collect();
    task.begin(&mut engine, &examples, 30, Purpose::Training).unwrap();

    let weight = |example: &Example| example.sequences[0].weights.iter().map(|&weight| f64::from(weight)).sum::<f64>();
    let count: f64 = beside.iter().map(weight).sum();
    let tokens: usize = examples.iter().flat_map(|example| &example.sequences).map(Encoded::trained).sum();
    let forest = Forest::from_sequences(&beside.iter().map(|example| &example.sequences[0]).collect::<Vec<_>>());
    let mut plain = Table::new();
    plain.forward(&forest, Want { gradients: true, ..Want::default() }).unwrap();
    let scale = 27.8 * tokens as f64 / count;
    let log_probs = forest.targets.iter().map(|target| (-scale * f64::from(target.weight)) as f32).collect();
    plain.backward(&Cotangents { log_probs, ..Cotangents::default() }).unwrap();
    let gradient = |engine: &Table| {
        let mut values = Vec::new();
        engine
            .visit_gradients(&mut |gradient| {
                values = gradient.values;
                Ok(())
            })
            .unwrap();
        values
    };
    let (ours, expected) = (gradient(&engine), gradient(&plain));
    assert!(expected.iter().any(|value| value.abs() > 1.0));
    for (ours, expected) in ours.iter().zip(&expected) {
        assert!((ours - expected).abs() < 1e-3, "{ours} is not {expected}");
    }
    // Draws go on where they were, and an evaluation draws nothing.
    let drawn = task.state();
    task.begin(&mut engine, &examples, 30, Purpose::Evaluation).unwrap();
    assert_eq!((task.state(), drawn.last()), (drawn.clone(), Some(&5.0)));
}

#[test]
fn what_is_saved_is_the_average_over_the_steps() {
    let schedule = Schedule { shape: Shape::Constant, warmup: 0.0, ..plan().schedule };
    let after = |max_steps: u64, ema: Option<f32>| {
        let plan = TrainingPlan { max_steps, ema, schedule, eval_every: 0, ..plan() };
        let mut engine = Table::new();
        fit(tempfile::tempdir().unwrap().path(), &plan, &mut engine, &mut Log::default()).unwrap();
        state(&engine).swap_remove(0).values
    };
    let mut average = state(&Table::new()).swap_remove(0).values;
    for step in 1..=3 {
        for (average, value) in average.iter_mut().zip(after(step, None)) {
            *average = 0.25 * value + 0.75 * *average;
        }
    }
    assert_eq!(after(3, Some(0.75)), average);
    assert_ne!(after(3, None), average);
}

// Methods without a value model.

fn of_group(baseline: Baseline, samples: usize, kl_coefficient: f64) -> GroupTask {
    GroupTask {
        method: PolicyGradient::new(0.2),
        baseline,
        shaping: Shaping { kl_coefficient, ..Shaping::default() },
        reference: ReferenceSource::AdapterOff.want(),
        rollouts: rollouts(first_letter, samples, 6),
    }
}

fn roll(task: &mut GroupTask, engine: &mut Table) -> Vec<Example> {
    let prompts = prompts(6);
    let prompts: Vec<&Example> = prompts.iter().collect();
    let round = Round { examples: &prompts, step: 0, purpose: Purpose::Training, token_budget: 30 };
    task.roll_out(engine, &round).unwrap().unwrap().examples
}

fn answers(examples: &[Example]) -> impl Iterator<Item = (&Encoded, &Rollout)> {
    examples.iter().flat_map(|example| {
        let Label::Sampled(rollouts) = &example.label else { panic!("not sampled") };
        example.sequences.iter().zip(rollouts)
    })
}

#[test]
fn remax_compares_with_the_most_likely_answer() {
    let mut engine = Table::with(Fault::ReferenceDiffers);
    // The first of equals.
    let likeliest = engine.probabilities(0).iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    let examples = roll(&mut of_group(Baseline::Greedy, 2, 0.5), &mut engine);
    let mut penalised = 0;
    for (sequence, rollout) in answers(&examples) {
        for (token, advantage) in rollout.advantages.iter().enumerate() {
            let gaps = rollout.log_probs.iter().zip(&rollout.reference).skip(token);
            let to_come: f64 = gaps.map(|(&policy, &reference)| f64::from(policy) - f64::from(reference)).sum();
            penalised += usize::from(to_come.abs() > 0.01);
            let answer = &sequence.tokens[2..];
            let by_hand = first_letter(answer) - 0.5 * to_come - first_letter(&[likeliest as u32]);
            assert!((advantage - by_hand).abs() < 1e-9, "{advantage} is not {by_hand}");
        }
    }
    assert!(penalised > 10);
}

#[test]
fn reinforce_plus_plus_normalises_over_the_step() {
    for of_groups in [false, true] {
        let mut task = of_group(Baseline::Step { of_groups }, 4, 0.1);
        let prompts = prompts(6);
        let prompts: Vec<&Example> = prompts.iter().collect();
        first_round(&mut Table::new(), &mut task, &text(), &prompts, Normalised::Yes).unwrap();
        // Relative to its group, an answer's advantage does not depend on how good its prompt is.
        let examples = roll(&mut task, &mut Table::new());
        let of_first = |example: &Example| {
            let all: Vec<f64> =
                answers(std::slice::from_ref(example)).map(|(_, rollout)| rollout.advantages[0]).collect();
            all.iter().sum::<f64>() / all.len() as f64
        };
        let means: Vec<f64> = examples.iter().map(of_first).collect();
        let spread = means.iter().fold(0.0_f64, |most, mean| most.max((mean - means[0]).abs()));
        assert!(if of_groups { spread < 1e-9 } else { spread > 0.1 }, "{means:?}");
    }
}

#[test]
fn methods_without_a_value_model_learn_what_is_rewarded() {
    let worth = |engine: &Table| -> f64 {
        let first = engine.probabilities(0);
        (0..VOCABULARY as u32).map(|token| first[token as usize] * first_letter(&[token])).sum()
    };
    for (baseline, samples) in
        [(Baseline::Greedy, 1), (Baseline::Step { of_groups: false }, 2), (Baseline::Step { of_groups: true }, 4)]
    {
        let (mut engine, mut task) = (Table::new(), of_group(baseline, samples, 0.01));
        let plan = TrainingPlan { epochs: 20.0, batch_size: 6, eval_every: 0, checkpoint_every: 0, ..plan() };
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::open(folder.path()).unwrap();
        let examples = [prompts(12), Vec::new()];
        let before = worth(&engine);
        fit_task(&directory, &plan, &mut task, &examples, "", &mut engine, &mut Log::default()).unwrap();
        assert!(worth(&engine) > before + 0.2, "{baseline:?}: {before} to {}", worth(&engine));
    }
}
