//! Nothing that a judge has said is lost, and nothing that it has not said is made up.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use camelid_generate::client::GenerateError;
use camelid_judge::figures::{Replies, compare};
use camelid_judge::{Asker, Case, Identity, Judge, JudgementFile, LogProbs, by_name, key, read_judgements, read_named};
use camelid_records::{Judgement, Reply, Verdict};

use crate::stub::{Asked, Stub, cases};

const IDENTITY: &str = "judge";

fn run(stub: &Stub, strategy: &str, cases: &[Case], done: &mut dyn FnMut(usize, Judgement) -> bool) {
    let strategy = by_name(strategy).unwrap();
    let asker = Asker { generator: stub, log_probs: LogProbs::Unused, seed: 0 };
    Judge::Asked { asker, strategy: strategy.as_ref() }.judge(IDENTITY, cases, done);
}

fn malformed() -> GenerateError {
    GenerateError::Malformed { reason: "no reply".into(), body: "<html>".into() }
}

/// A server that fails, times out, sends no JSON or nothing: each is counted under its name.
#[test]
fn every_kind_of_failure_is_counted() {
    let turn = AtomicUsize::new(0);
    let stub = Stub::new(move |_| match turn.fetch_add(1, Ordering::SeqCst) % 10 {
        0 => Err(GenerateError::Refused { status: 400, body: "no".into() }),
        1 => Err(GenerateError::Exhausted { attempts: 6, last: "timed out".into() }),
        2 => Err(malformed()),
        3 => Ok(String::new()),
        4 => Ok("{\"verdict\": ".into()),
        5 => Ok("I cannot say".into()),
        _ => Ok("A".into()),
    });
    let mut judged = Vec::new();
    run(&stub, "vanilla", &cases(50), &mut |_, judgement| {
        judged.push(judgement);
        true
    });
    let figures = compare(&judged, 0);
    assert_eq!(judged.len(), 50);
    assert_eq!((figures.positions.failed, figures.positions.unparsed, figures.positions.decided), (30, 30, 40));
    assert_eq!(figures.wins + figures.ties + figures.losses + figures.undecided, 50);
    assert_eq!(figures.undecided, 30);
    assert_eq!(figures.positions.parse_rate(), Some(0.4));
    let replies = Replies::of(&judged);
    assert_eq!((replies.asked, replies.empty), (100, 10));
    let failed: Vec<(&str, usize)> = replies.failed.iter().map(|(kind, &count)| (kind.as_str(), count)).collect();
    assert_eq!(failed, [("malformed answer", 10), ("refused", 10), ("timeout", 10)]);
    // Why is kept with the judgement.
    let Reply::Failed(reason) = &judged[0].rounds[0][0] else { panic!() };
    assert!(reason.contains("400"), "{reason}");
}

/// A help that cannot be had leaves the case without verdicts, and the judge is not asked for them.
#[test]
fn without_its_help_a_strategy_says_nothing() {
    for (help, verdict) in [(Ok(String::new()), Verdict::Unparsed), (Err(malformed()), Verdict::Failed)] {
        let stub = Stub::new(move |asked: &Asked| if asked.outputs.is_none() { help.clone() } else { Ok("A".into()) });
        run(&stub, "metrics-reference", &cases(3), &mut |_, judgement| {
            assert_eq!([judgement.assessment.as_given.verdict, judgement.assessment.swapped.verdict], [verdict; 2]);
            assert_eq!((judgement.rounds.len(), judgement.assessment.combined), (1, None));
            true
        });
        assert_eq!(*stub.asked.lock().unwrap(), 6);
    }
}

/// Asks what a file does not have yet; stops after `most`.
fn resume(path: &std::path::Path, stub: &Stub, cases: &[Case], most: usize) -> usize {
    let file = Mutex::new(JudgementFile::open(path).unwrap());
    let open: Vec<Case> =
        cases.iter().filter(|case| file.lock().unwrap().get(&key(IDENTITY, case)).is_none()).cloned().collect();
    let mut done = 0;
    run(stub, "rules", &open, &mut |_, judgement| {
        file.lock().unwrap().put(judgement, None).unwrap();
        done += 1;
        done < most
    });
    done
}

#[test]
fn a_run_that_was_stopped_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judgements.jsonl");
    let cases = cases(20);
    let stub = Stub::new(|_| Ok("A".into()));
    assert_eq!(resume(&path, &stub, &cases, 7), 7);
    // A line that was cut off is asked for again.
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 5]).unwrap();
    let again = Stub::new(|_| Ok("A".into()));
    assert_eq!(resume(&path, &again, &cases, 100), 14);
    assert_eq!(*again.asked.lock().unwrap(), 28);
    assert_eq!(read_judgements(&path).unwrap().len(), 20);
    assert_eq!(resume(&path, &Stub::new(|_| panic!("asked again")), &cases, 100), 0);
}

#[test]
fn failures_are_kept_and_asked_again_and_unparsed_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judgements.jsonl");
    let cases = cases(4);
    let stub = Stub::new(|asked| match &asked.text {
        text if text.contains("instruction 1") => Err(malformed()),
        text if text.contains("instruction 2") => Ok("neither".into()),
        _ => Ok("A".into()),
    });
    assert_eq!(resume(&path, &stub, &cases, 100), 4);
    let verdict =
        |place: usize| read_judgements(&path).unwrap()[&key(IDENTITY, &cases[place])].assessment.as_given.verdict;
    assert_eq!([0, 1, 2].map(verdict), [Verdict::First, Verdict::Failed, Verdict::Unparsed]);
    assert_eq!(resume(&path, &Stub::new(|_| Ok("B".into())), &cases, 100), 1);
    assert_eq!([0, 1, 2].map(verdict), [Verdict::First, Verdict::Second, Verdict::Unparsed]);
    // The line of the failure goes, and nothing else does.
    let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
    assert_eq!(lines(), 5);
    let before = read_judgements(&path).unwrap();
    JudgementFile::open(&path).unwrap().compact().unwrap();
    assert_eq!((lines(), read_judgements(&path).unwrap()), (4, before));
}

/// A line has the fields of other tools' files of preferences: 1 for the first model, 2 for the second, null for no verdict.
#[test]
fn lines_name_models_and_preferences() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judgements.jsonl");
    let mut file = JudgementFile::open(&path).unwrap();
    let models = ["base".to_owned(), "tuned".to_owned()];
    let stub = Stub::new(|asked| match &asked.text {
        text if text.contains("instruction 1") => Ok("neither".into()),
        _ => Ok("A".into()),
    });
    run(&stub, "vanilla", &cases(2), &mut |_, judgement| {
        file.put(judgement, Some(&models)).unwrap();
        true
    });
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Always A: a contradiction, a tie.
    assert_eq!(lines[0]["preference"], 1.5);
    assert!(lines[1]["preference"].is_null() && lines[1].get("preference").is_some());
    assert_eq!((&lines[0]["generator_1"], &lines[0]["generator_2"]), (&"base".into(), &"tuned".into()));
    let read = read_named(&path).unwrap();
    assert_eq!(read.iter().map(|(_, names)| names.clone()).collect::<Vec<_>>(), [Some(models.clone()), Some(models)]);
    assert_eq!((read[0].0.assessment.combined, read[1].0.assessment.combined), (Some(0.5), None));
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "my notes\n").unwrap();
    let message = JudgementFile::open(&path).err().unwrap().to_string();
    assert!(message.contains("notes.txt, line 1: no judgement") && message.contains("\n  fix: "), "{message}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "my notes\n");
}

/// Equal questions have equal keys, and anything that changes a question changes its key.
#[test]
fn keys_name_questions() {
    let case = &cases(1)[0];
    let changed = [
        Case { turns: vec!["other".into()], ..case.clone() },
        Case { outputs: [case.outputs[1].clone(), case.outputs[0].clone()], ..case.clone() },
        Case { references: Some(vec!["r".into()]), ..case.clone() },
        Case { id: "other".into(), ..case.clone() },
    ];
    assert!(changed.iter().all(|other| key("j", other) != key("j", case)));
    assert_ne!(key("i", case), key("j", case));
    let strategy = by_name("rules").unwrap();
    assert_eq!(Identity::new("m", strategy.as_ref(), "s").hash(), Identity::new("m", strategy.as_ref(), "s").hash());
}
