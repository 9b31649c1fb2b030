//! Published figures, computed again from what models and judges are recorded to have answered (O11 to O13, BBH,
//! GSM8K).

use std::collections::BTreeMap;
use std::io::Read;

use camelid_eval::extraction::rate::{Judged, Tally};
use camelid_eval::extraction::{Rung, number, statement};
use camelid_eval::judging::Output;
use camelid_eval::judging::both_orders::{Item, Report, compare};
use camelid_eval::judging::calibration::{Evidence, Scores, conflict_rate, for_people};
use camelid_eval::statistics::agreement::cohen_kappa;
use camelid_eval::statistics::paired::paired_difference;
use serde_json::Value;

fn recorded(compressed: &[u8]) -> Value {
    let mut text = String::new();
    flate2::read::GzDecoder::new(compressed).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap()
}

fn output(verdict: u8) -> Option<Output> {
    match verdict {
        b'1' => Some(Output::First),
        b'2' => Some(Output::Second),
        _ => None,
    }
}

/// Verdicts of one judge on one set of LLMBar.
struct Recording {
    set: String,
    judge: String,
    method: String,
    items: Vec<Item>,
    published: Value,
}

fn llmbar() -> Vec<Recording> {
    let sets = recorded(include_bytes!("recorded/llmbar.json.gz"));
    let of_set = |set: &Value| -> Vec<Recording> {
        let labels = text(set, "labels").as_bytes();
        let of_judge = |recording: &Value| {
            let verdicts = text(recording, "as_given").bytes().zip(text(recording, "swapped").bytes());
            let item = |(&label, (as_given, swapped)): (&u8, (u8, u8))| Item {
                label: output(label).unwrap(),
                as_given: output(as_given),
                swapped: output(swapped),
            };
            assert_eq!(text(recording, "as_given").len(), labels.len());
            Recording {
                set: text(set, "name").to_owned(),
                judge: text(recording, "judge").to_owned(),
                method: text(recording, "method").to_owned(),
                items: labels.iter().zip(verdicts).map(item).collect(),
                published: recording["published"].clone(),
            }
        };
        set["recorded"].as_array().unwrap().iter().map(of_judge).collect()
    };
    sets.as_array().unwrap().iter().flat_map(of_set).collect()
}

/// The authors' kappa takes every verdict other than "0" and "1" for a 0, so that it compares labels 1, 2 with verdicts
/// 0, 1. It is computed here as they do, since all of their figures are.
fn published_kappas(items: &[Item]) -> [Option<f64>; 4] {
    let coerced = |verdict: Option<Output>| u8::from(verdict == Some(Output::First));
    let labels: Vec<u8> = items.iter().map(|item| if item.label == Output::First { 1 } else { 2 }).collect();
    let as_given: Vec<u8> = items.iter().map(|item| coerced(item.as_given)).collect();
    let swapped: Vec<u8> = items.iter().map(|item| coerced(item.swapped)).collect();
    let (first, second) = (cohen_kappa(&labels, &as_given), cohen_kappa(&labels, &swapped));
    let average = first.zip(second).map(|(first, second)| first.midpoint(second));
    [first, second, average, cohen_kappa(&as_given, &swapped)]
}

/// O11.
#[test]
fn every_published_figure_of_llmbar() {
    let recordings = llmbar();
    assert_eq!(recordings.len(), 499);
    let mut figures = 0;
    for Recording { set, judge, method, items, published } in &recordings {
        let name = format!("{set}, {judge}, {method}");
        let report = Report::of(items);
        // "70 / 100 = 70.0%" and "74.0%".
        let percent = |key: &str| -> f64 {
            let figure = text(published, key);
            figure.rsplit(' ').next().unwrap().trim_end_matches('%').parse().unwrap()
        };
        let counted = |key: &str, count: usize| {
            let share = 100.0 * count as f64 / items.len() as f64;
            assert!(
                text(published, key).starts_with(&format!("{count} / {} = ", items.len())),
                "{name}: {key} {count}"
            );
            assert!((percent(key) - share).abs() < 1e-9, "{name}: {key} {share}");
        };
        counted("correct_False", report.right_as_given);
        counted("correct_True", report.right_swapped);
        counted("correct_both", report.right_in_both);
        counted("equal", report.agreeing);
        let accuracy = 100.0 * report.accuracy().unwrap();
        assert!((percent("correct_average") - accuracy).abs() < 1e-9, "{name}: {accuracy}");
        figures += 5;
        let keys = ["kappa_False", "kappa_True", "kappa_average", "kappa_agreement"];
        for (key, ours) in keys.into_iter().zip(published_kappas(items)) {
            match (ours, published[key].as_f64()) {
                (Some(ours), Some(theirs)) => assert!((ours - theirs).abs() < 1e-9, "{name}: {key} {ours} {theirs}"),
                (ours, theirs) => assert_eq!(ours, theirs, "{name}: {key}"),
            }
            figures += 1;
        }
    }
    assert_eq!(figures, 4491);
}

const ADVERSARIAL: [&str; 4] = ["Neighbor", "GPTInst", "GPTOut", "Manual"];

/// All 319 adversarial items, in the order of the sets.
fn adversarial(recordings: &[Recording], judge: &str, method: &str) -> Vec<Item> {
    let of_set = |set: &str| {
        let set = format!("LLMBar/Adversarial/{set}");
        let recording = recordings.iter().find(|r| r.set == set && r.judge == judge && r.method == method);
        recording.unwrap().items.clone()
    };
    ADVERSARIAL.into_iter().flat_map(of_set).collect()
}

/// O11: which strategies differ, right in both orders, by the exact test of McNemar.
#[test]
fn strategies_of_judges_compared() {
    let recordings = llmbar();
    let versus = |judge: &str, first: &str, second: &str| {
        compare(&adversarial(&recordings, judge, first), &adversarial(&recordings, judge, second)).unwrap()
    };
    let counts = versus("GPT-4", "Metrics_Reference", "Vanilla_NoRules");
    assert_eq!((counts.only_first, counts.only_second), (54, 10));
    assert!((1e-8..3e-8).contains(&counts.exact()), "{}", counts.exact());
    let rules_alone = versus("GPT-4", "Metrics_Reference", "Vanilla");
    assert_eq!((rules_alone.only_first, rules_alone.only_second), (16, 8));
    assert!((rules_alone.exact() - 0.15).abs() < 0.005, "{}", rules_alone.exact());
    for (judge, only_first, only_second, low, high) in
        [("GPT-4", 8, 26, 0.0025, 0.0035), ("PaLM2", 9, 93, 5e-19, 2e-18), ("Falcon", 12, 54, 1.5e-7, 2.5e-7)]
    {
        let counts = versus(judge, "CoT", "Vanilla");
        assert_eq!((counts.only_first, counts.only_second), (only_first, only_second), "{judge}");
        assert!((low..high).contains(&counts.exact()), "{judge}: {}", counts.exact());
    }
    for (judge, p) in [("ChatGPT-0301", 0.06), ("ChatGPT", 0.73), ("LLaMA2", 0.17)] {
        let exact = versus(judge, "CoT", "Vanilla").exact();
        assert!((exact - p).abs() < 0.005, "{judge}: {exact}");
    }
    // The same comparison by scores: the mean over both orders.
    let scores = |method: &str| -> Vec<f64> {
        let items = adversarial(&recordings, "GPT-4", method);
        items.iter().map(|item| Report::of(&[*item]).accuracy().unwrap()).collect()
    };
    let difference = paired_difference(&scores("Metrics_Reference"), &scores("Vanilla_NoRules")).unwrap();
    assert!((difference.value - 0.133).abs() < 0.0005, "{difference:?}");
    assert!((difference.standard_error - 0.0196).abs() < 0.00005, "{difference:?}");
}

/// The share of items that a judge of lengths alone gets right; a tie is half right.
fn by_length(sets: &Value, name: &str, longer: bool) -> (f64, usize) {
    let sets = sets.as_array().unwrap().iter().filter(|set| text(set, "name").contains(name));
    let items: Vec<(u8, u8)> =
        sets.flat_map(|set| text(set, "labels").bytes().zip(text(set, "longer").bytes())).collect();
    let right = items.iter().map(|&(label, longest)| match longest {
        b'=' => 0.5,
        _ => f64::from(u8::from((label == longest) == longer)),
    });
    (right.sum(), items.len())
}

#[test]
fn judges_of_nothing_but_length() {
    let sets = recorded(include_bytes!("recorded/llmbar.json.gz"));
    let percent = |name: &str, longer: bool| {
        let (right, count) = by_length(&sets, name, longer);
        (1000.0 * right / count as f64).round() / 10.0
    };
    assert_eq!(by_length(&sets, "Adversarial", false).1, 319);
    assert_eq!(percent("Adversarial", false), 82.0);
    assert_eq!(percent("Natural", false), 43.5);
    assert_eq!([percent("FairEval", true), percent("LLMEval", true), percent("MT-Bench", true)], [59.1, 61.3, 69.3]);
}

/// O13: people's verdicts on 80 questions, of which LLMBar keeps those without a tie; and how often recorded judges
/// contradict themselves on these.
#[test]
fn verdicts_on_faireval() {
    let recordings = llmbar();
    let of_faireval: Vec<&Recording> =
        recordings.iter().filter(|recording| recording.set.contains("FairEval")).collect();
    for recording in &of_faireval {
        let wins = recording.items.iter().filter(|item| item.label == Output::First).count();
        let losses = recording.items.len() - wins;
        assert_eq!((wins, 80 - wins - losses, losses), (41, 14, 25));
    }
    // Recorded as "12 / 66 = 18.18...%" equal: the rest contradict themselves.
    for (judge, conflicts) in [("ChatGPT", 54), ("GPT-4", 20), ("LLaMA2", 44)] {
        let recording = of_faireval.iter().find(|r| r.judge == judge && r.method == "Vanilla_NoRules").unwrap();
        let scores = |verdict: Option<Output>| match verdict {
            Some(Output::First) => vec![Scores { first: 1.0, second: 0.0 }],
            Some(Output::Second) => vec![Scores { first: 0.0, second: 1.0 }],
            None => Vec::new(),
        };
        let evidence = |item: &Item| Evidence { as_given: scores(item.as_given), swapped: scores(item.swapped) };
        let evidence: Vec<Evidence> = recording.items.iter().map(evidence).collect();
        assert_eq!(conflict_rate(&evidence), Some(f64::from(conflicts) / 66.0), "{judge}");
        // Two verdicts that differ: ln 2; the same: 0.
        let entropy: f64 = evidence.iter().map(Evidence::diversity_entropy).sum();
        assert!((entropy - f64::from(conflicts) * std::f64::consts::LN_2).abs() < 1e-9, "{judge}");
        let calibrated = |verdict: Option<Output>| {
            evidence.iter().filter(|item| item.calibrated().unwrap().winner() == verdict).count()
        };
        assert_eq!(calibrated(None), conflicts as usize, "{judge}");
        let people = for_people(&evidence, 0.2);
        assert!(people.len() == 13 && people.iter().all(|&item| evidence[item].conflicts() == Some(true)), "{judge}");
    }
}

/// The 23 tasks of the paper: files that differ in the number of objects are one.
fn mean_over_tasks(accuracies: &BTreeMap<String, f64>) -> (f64, usize) {
    let mut tasks: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (file, accuracy) in accuracies {
        let group =
            ["logical_deduction", "tracking_shuffled_objects"].into_iter().find(|group| file.starts_with(group));
        tasks.entry(group.unwrap_or(file)).or_default().push(*accuracy);
    }
    let means = tasks.values().map(|files| files.iter().sum::<f64>() / files.len() as f64);
    (100.0 * means.sum::<f64>() / tasks.len() as f64, tasks.len())
}

#[test]
fn big_bench_hard() {
    let tasks = recorded(include_bytes!("recorded/bbh.json.gz"));
    let (mut direct, mut thought) = (BTreeMap::new(), BTreeMap::new());
    let (mut count, mut tallies) = (0, Vec::new());
    for (task, rows) in tasks.as_object().unwrap() {
        let rows: Vec<[&str; 3]> =
            rows.as_array().unwrap().iter().map(|row| [0, 1, 2].map(|part| row[part].as_str().unwrap())).collect();
        count += rows.len();
        let right = rows.iter().filter(|[target, answer, _]| answer.trim() == *target).count();
        direct.insert(task.clone(), right as f64 / rows.len() as f64);
        let judged = rows.iter().map(|[target, _, thoughts]| {
            let found = statement::extract(thoughts).filter(|found| found.rung == Rung::Strict);
            Judged::of(found.map(|found| (found.rung, found.answer == *target)), thoughts, true)
        });
        let tally = Tally::of(judged);
        thought.insert(task.clone(), tally.accuracy().unwrap());
        tallies.push((task.clone(), tally));
    }
    assert_eq!(count, 6511);
    let ((direct, tasks), (thought, _)) = (mean_over_tasks(&direct), mean_over_tasks(&thought));
    assert_eq!(tasks, 23);
    assert!((direct - 56.61).abs() < 0.005, "{direct}");
    assert!((thought - 73.93).abs() < 0.005, "{thought}");
    // 236 chains of thought were cut off before they came to an answer: the gate names the tasks whose score that
    // voids.
    assert_eq!(tallies.iter().map(|(_, tally)| tally.unparsed()).sum::<usize>(), 236);
    let void: Vec<&str> =
        tallies.iter().filter(|(_, tally)| tally.objection().is_some()).map(|(task, _)| task.as_str()).collect();
    assert_eq!(void, ["dyck_languages", "word_sorting"]);
}

#[test]
fn gsm8k_solutions() {
    let all = recorded(include_bytes!("recorded/gsm8k.json.gz"));
    let expected: Vec<number::Number> = all["expected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| number::Number::expected(line.as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(expected.len(), 1319);
    let published = [
        ("6b_finetuning", 21.68),
        ("6b_verification", 39.04),
        ("175b_finetuning", 34.72),
        ("175b_verification", 56.25),
    ];
    for (model, percent) in published {
        let solutions = all["models"][model].as_array().unwrap();
        let judged = solutions.iter().zip(&expected).enumerate().map(|(item, (solution, expected))| {
            let found = number::extract(solution[0].as_str().unwrap());
            let right = found.as_ref().is_some_and(|found| found.answer == *expected);
            assert_eq!(right, solution[1] == 1, "{model} {item}: {} is not {expected}", solution[0]);
            Judged::of(found.map(|found| (found.rung, right)), "...", false)
        });
        let tally = Tally::of(judged);
        let accuracy = 100.0 * tally.accuracy().unwrap();
        assert!((accuracy - percent).abs() < 0.005, "{model}: {accuracy}");
        assert!(tally.rate().unwrap() > 0.97, "{model}: {tally:?}");
    }
}
