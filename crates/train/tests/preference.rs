//! Preference stages: step 0, learning, micro-batches, reference log-probabilities, resuming.

#[allow(dead_code, reason = "each test file uses its part")]
mod support;

use camelid_objectives::preference::Method;
use camelid_objectives::preference::bco::Bco;
use camelid_objectives::preference::dpo::Dpo;
use camelid_objectives::preference::kto::Kto;
use camelid_objectives::preference::rrhf::Rrhf;
use camelid_objectives::preference::slic::{self, Slic};
use camelid_text::{Encoded, Forest};
use camelid_train::checks::policy_is_reference;
use camelid_train::{
    Ended, Example, Label, PreferenceTask, Ranking, Reference, ReferenceSource, ReferenceUpdate, RunDirectory, Task,
    TrainError, TrainingPlan, UnpairedMethod, UnpairedTask,
};
use support::run::{Log, Then, fit_task, state};
use support::{Fault, Table, VOCABULARY, plan};

/// Prompts of three tokens with two or three responses; the better ones use even tokens.
fn ranked(count: u32) -> Vec<Example> {
    let response = |record: u32, index: u32| {
        let token = |i: u32| (2 * (record + i * 3) + index) % VOCABULARY as u32;
        let tokens: Vec<u32> =
            [record, record + 1, 2].into_iter().chain((0..3 + (record + index) % 3).map(token)).collect();
        let weights = (0..tokens.len()).map(|i| if i < 3 { 0.0 } else { 1.0 }).collect();
        Encoded { tokens, weights, record }
    };
    let example = |record: u32| {
        let responses = 2 + record % 2;
        let pairs = (0..responses as usize).flat_map(|j| (0..j).map(move |i| (i, j))).collect();
        let scores = vec![None; responses as usize];
        Example {
            sequences: (0..responses).map(|index| response(record, index)).collect(),
            label: Label::Ranked(Ranking { pairs, scores, ..Ranking::default() }),
        }
    };
    (0..count).map(example).collect()
}

/// The first two responses of each, as good and bad.
fn rated(count: u32) -> Vec<Example> {
    let single = |(number, sequence): (usize, Encoded)| Example {
        sequences: vec![Encoded { record: number as u32, ..sequence }],
        label: Label::Desirable(number % 2 == 0),
    };
    ranked(count)
        .into_iter()
        .flat_map(|example| example.sequences.into_iter().take(2))
        .enumerate()
        .map(single)
        .collect()
}

fn adapter_off() -> camelid_model::Want {
    ReferenceSource::AdapterOff.want()
}

fn dpo(source: ReferenceSource) -> PreferenceTask {
    PreferenceTask { method: Method::Pairs(Box::new(Dpo::new(0.5))), reference: Reference::new(source, "hash".into()) }
}

fn kto() -> UnpairedTask {
    let kto = Kto { beta: 0.5, desirable_weight: 1.0, undesirable_weight: 1.0 };
    UnpairedTask::new(UnpairedMethod::Kto(kto), Reference::new(ReferenceSource::AdapterOff, String::new()))
}

fn bco() -> UnpairedTask {
    let method = UnpairedMethod::Bco(Bco { beta: 0.5 }, 0.9);
    UnpairedTask::new(method, Reference::new(ReferenceSource::AdapterOff, String::new()))
}

fn run(plan: &TrainingPlan, task: &mut dyn Task, examples: &[Example]) -> (Table, Log) {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut log) = (Table::new(), Log::default());
    let directory = RunDirectory::open(folder.path()).unwrap();
    let data = [examples.to_vec(), examples[..4].to_vec()];
    fit_task(&directory, plan, task, &data, "hash", &mut engine, &mut log).unwrap();
    (engine, log)
}

#[test]
fn dpo_starts_at_ln_2_and_learns_the_preferences() {
    let (_, log) = run(&TrainingPlan { epochs: 30.0, ..plan() }, &mut dpo(ReferenceSource::AdapterOff), &ranked(12));
    let (first, last) = (&log.steps[0], log.steps.last().unwrap());
    assert!((first.loss - std::f64::consts::LN_2).abs() < 1e-12, "{}", first.loss);
    assert_eq!((first.metrics["rewards/margins"], first.metrics["rewards/accuracies"]), (0.0, 0.0));
    assert!(last.loss < 0.3 && last.metrics["rewards/accuracies"] > 0.95, "{last:?}");
    assert!((log.evaluations[0].eval_loss - std::f64::consts::LN_2).abs() < 1e-12);
    assert!(log.evaluations.last().unwrap().metrics["eval_rewards/margins"] > 1.0);
}

#[test]
fn unpaired_methods_start_where_they_must_and_learn() {
    let tasks: [(&mut dyn Task, f64); 2] = [(&mut kto(), 0.5), (&mut bco(), std::f64::consts::LN_2)];
    for (task, start) in tasks {
        let (_, log) = run(&TrainingPlan { epochs: 30.0, ..plan() }, task, &rated(12));
        let (first, last) = (&log.steps[0], log.steps.last().unwrap());
        assert!((first.loss - start).abs() < 1e-12, "{}", first.loss);
        assert!(last.loss < 0.6 * start, "{last:?}");
        assert!(last.metrics["rewards/chosen"] > last.metrics["rewards/rejected"] + 1.0, "{last:?}");
    }
}

/// The loss is divided by the prompts of the whole step, and KTO's and BCO's baselines are the step's.
#[test]
fn micro_batches_change_nothing() {
    let tasks: [(fn() -> Box<dyn Task>, fn(u32) -> Vec<Example>); 5] = [
        (|| Box::new(dpo(ReferenceSource::AdapterOff)), ranked),
        (|| Box::new(dpo(ReferenceSource::Copy(Some(ReferenceUpdate { every: 2, share: 0.5 })))), ranked),
        (
            || {
                let method = Method::List(Box::new(Rrhf { rank_weight: 1.0 }));
                Box::new(PreferenceTask {
                    method,
                    reference: Reference::new(ReferenceSource::AdapterOff, String::new()),
                })
            },
            ranked,
        ),
        (|| Box::new(kto()), rated),
        (|| Box::new(bco()), rated),
    ];
    for (number, (task, examples)) in tasks.into_iter().enumerate() {
        let (whole_engine, whole) = run(&plan(), task().as_mut(), &examples(12));
        for tokens_per_micro_batch in [1, 25] {
            let plan = TrainingPlan { tokens_per_micro_batch, ..plan() };
            let (engine, log) = run(&plan, task().as_mut(), &examples(12));
            for (a, b) in whole.losses().iter().zip(log.losses()) {
                assert!((a - b).abs() < 1e-5, "task {number}, {tokens_per_micro_batch} rows: {a} and {b}");
            }
            for (a, b) in state(&whole_engine)[0].values.iter().zip(&state(&engine)[0].values) {
                assert!((a - b).abs() < 1e-4, "task {number}, {tokens_per_micro_batch} rows: {a} and {b}");
            }
        }
    }
}

/// A reference answer is one more branch of its prompt's tree: loss and derivatives are those of rows of their own.
#[test]
fn a_reference_answer_shares_its_prompt() {
    let examples: Vec<Example> = ranked(6)
        .into_iter()
        .map(|mut example| {
            let mut answer = example.sequences[0].clone();
            answer.tokens.push(5);
            answer.weights.push(1.0);
            // Every other prompt has none.
            if let (0, Label::Ranked(ranking)) = (example.record() % 2, &mut example.label) {
                ranking.has_reference_answer = true;
                example.sequences.push(answer);
            }
            example
        })
        .collect();
    let examples: Vec<&Example> = examples.iter().collect();
    let sequences: Vec<&Encoded> = examples.iter().flat_map(|example| &example.sequences).collect();
    let slic = Slic { form: slic::Form::Hinge, delta: 1.0, lambda: 0.5 };
    let mut task = PreferenceTask {
        method: Method::Pairs(Box::new(slic)),
        reference: Reference::new(ReferenceSource::AdapterOff, String::new()),
    };
    let mut scored = |forest: &Forest| {
        let outcome = task.score(&mut Table::new(), &examples, forest, camelid_model::Want::default()).unwrap();
        let placed = forest
            .targets
            .iter()
            .zip(&outcome.d_log_probs)
            .map(|(target, slope)| (target.branch, target.token, *slope));
        let mut placed: Vec<(u32, u32, f32)> = placed.collect();
        placed.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
        (outcome.loss, outcome.metrics, placed)
    };
    let (tree, rows) = (Forest::from_sequences(&sequences), Forest::dense(&sequences));
    assert!(tree.tokens.len() < rows.tokens.len());
    let shared = scored(&tree);
    assert_eq!(shared, scored(&rows));
    // The answer's derivative is -λ at each of its tokens, whatever the comparison says.
    let third = examples[0].sequences.len() as u32 - 1;
    assert!(shared.2.iter().filter(|(branch, ..)| *branch == third).all(|(.., slope)| *slope == -0.5), "{shared:?}");
    let share = shared.1.iter().find(|metric| metric.name == "reference_answers").unwrap();
    assert_eq!(share.value.mean(), Some(0.5));
}

#[test]
fn policy_is_reference_passes_before_training_and_fails_on_planted_faults() {
    let examples = ranked(4);
    let examples: Vec<&Example> = examples.iter().collect();
    let check = |engine: &mut Table, expected: f64| {
        policy_is_reference(engine, &mut dpo(ReferenceSource::AdapterOff), &examples, adapter_off(), Some(expected))
    };
    let ln_2 = std::f64::consts::LN_2;
    let report = check(&mut Table::new(), ln_2).unwrap();
    assert!(report.detail.starts_with("0 of ") && report.detail.contains("loss 0.6931"), "{}", report.detail);
    assert!(matches!(check(&mut Table::new(), 0.5), Err(TrainError::Check { .. })));
    assert!(matches!(check(&mut Table::with(Fault::ReferenceDiffers), ln_2), Err(TrainError::Check { .. })));
    assert!(matches!(check(&mut Table::with(Fault::NanAfter(0)), ln_2), Err(TrainError::Check { .. })));
    // Reference log-probabilities of another template: the same records, shifted by a token.
    let folder = tempfile::tempdir().unwrap();
    let mut shifted = ranked(4);
    shifted.iter_mut().flat_map(|example| &mut example.sequences).for_each(|sequence| sequence.tokens.rotate_left(1));
    let mut task = dpo(ReferenceSource::File(folder.path().join("reference.jsonl")));
    task.reference.record(&mut Table::new(), &shifted.iter().collect::<Vec<_>>(), 100, &mut |_, _| {}).unwrap();
    let failed = policy_is_reference(&mut Table::new(), &mut task, &examples, adapter_off(), Some(ln_2));
    assert!(matches!(failed, Err(TrainError::Check { .. })), "{failed:?}");
}

#[test]
fn a_recorded_reference_gives_what_the_adapter_off_gives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reference.jsonl");
    let (off_engine, off) = run(&plan(), &mut dpo(ReferenceSource::AdapterOff), &ranked(12));
    let mut task = dpo(ReferenceSource::File(path.clone()));
    let examples = ranked(12);
    let examples: Vec<&Example> = examples.iter().collect();
    task.reference.record(&mut Table::new(), &examples, 40, &mut |_, _| {}).unwrap();
    let (engine, log) = run(&plan(), &mut task, &ranked(12));
    assert_eq!(log.losses(), off.losses());
    assert_eq!(state(&engine), state(&off_engine));

    // A trained engine takes them from the file, as after a resume.
    let mut again = dpo(ReferenceSource::File(path.clone()));
    let mut trained = engine.clone();
    again.reference.record(&mut trained, &examples, 40, &mut |_, _| panic!("computed again")).unwrap();
    // Of another run they are not taken.
    let mut other = Reference::new(ReferenceSource::File(path), "other hash".into());
    let mut computed = 0;
    other.record(&mut Table::new(), &examples, 40, &mut |done, _| computed = done).unwrap();
    assert_eq!(computed, 12);
    // What was never recorded is an error, not a zero.
    let mut missing = dpo(ReferenceSource::File(folder.path().join("none.jsonl")));
    let failed = policy_is_reference(&mut Table::new(), &mut missing, &examples, adapter_off(), None);
    assert!(failed.unwrap_err().to_string().contains("record 1 are missing"));
}

#[test]
fn a_copy_is_what_the_adapter_off_is_until_it_moves() {
    let copy = |update| dpo(ReferenceSource::Copy(update));
    let (off_engine, off) = run(&plan(), &mut dpo(ReferenceSource::AdapterOff), &ranked(12));
    let (engine, log) = run(&plan(), &mut copy(None), &ranked(12));
    assert_eq!((log.losses(), state(&engine)), (off.losses(), state(&off_engine)));
    // A reference that becomes the policy after each step leaves no margin to any.
    let (_, hard) = run(&plan(), &mut copy(Some(ReferenceUpdate { every: 1, share: 1.0 })), &ranked(12));
    assert!(hard.losses().iter().all(|loss| (loss - std::f64::consts::LN_2).abs() < 1e-12), "{:?}", hard.losses());
    let (_, soft) = run(&plan(), &mut copy(Some(ReferenceUpdate { every: 2, share: 0.5 })), &ranked(12));
    assert_eq!(soft.losses()[..2], off.losses()[..2]);
    let rest = |log: &Log| log.losses()[2..].iter().sum::<f64>();
    assert!(rest(&soft) > rest(&off), "the margin to a nearer reference is smaller");
}

#[test]
fn a_resumed_run_is_the_same_run() {
    let plan = TrainingPlan { epochs: 3.0, ..plan() };
    let tasks: [(fn() -> Box<dyn Task>, fn(u32) -> Vec<Example>); 4] = [
        (|| Box::new(dpo(ReferenceSource::AdapterOff)), ranked),
        (|| Box::new(dpo(ReferenceSource::Copy(Some(ReferenceUpdate { every: 2, share: 0.5 })))), ranked),
        (|| Box::new(kto()), rated),
        (|| Box::new(bco()), rated),
    ];
    for (task, examples) in tasks {
        let (engine, log) = run(&plan, task().as_mut(), &examples(12));
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::open(folder.path()).unwrap();
        let data = [examples(12), examples(12)[..4].to_vec()];
        let mut first = Log::and(Then::StopAfter(4));
        let ended = fit_task(&directory, &plan, task().as_mut(), &data, "hash", &mut Table::new(), &mut first);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        let (mut resumed, mut second) = (Table::new(), Log::default());
        fit_task(&directory, &plan, task().as_mut(), &data, "hash", &mut resumed, &mut second).unwrap();
        assert_eq!([first.losses(), second.losses()].concat(), log.losses());
        assert_eq!(state(&resumed), state(&engine));
    }
}

#[test]
fn examples_without_labels_are_named() {
    let plain = |sequence: Encoded| Example::from(sequence);
    let examples: Vec<Example> = support::records(6).into_iter().map(plain).collect();
    for task in [&mut dpo(ReferenceSource::AdapterOff) as &mut dyn Task, &mut kto()] {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::open(folder.path()).unwrap();
        let data = [examples.clone(), Vec::new()];
        let failed = fit_task(&directory, &plan(), task, &data, "hash", &mut Table::new(), &mut Log::default());
        let message = failed.unwrap_err().to_string();
        assert!(message.contains("record ") && message.contains("fix: give this stage"), "{message}");
    }
}
