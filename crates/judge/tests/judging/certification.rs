//! Who is certified and who is not.

use std::io::Read;
use std::path::PathBuf;

use camelid_eval::judging::Output;
use camelid_eval::judging::both_orders::{Item, Report};
use camelid_judge::certify::attacks::{constant, repetition};
use camelid_judge::certify::{Certificate, Labelled, Outcome, Passed, Standing, Thresholds, checks, llmbar};
use camelid_judge::figures::Positions;
use camelid_judge::{Baseline, Case, Identity, by_name};
use camelid_records::{Assessment, Verdict};
use serde_json::Value;

/// LLMBar's labels, lengths and recorded verdicts, without its texts.
fn recorded() -> Value {
    let mut text = String::new();
    let packed = &include_bytes!("../../../eval/tests/recorded/llmbar.json.gz")[..];
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The items of LLMBar with the verdicts that `judge` gives from a set and an item's number.
fn labelled(judge: impl Fn(&Value, usize, [usize; 2]) -> Assessment) -> [Vec<Labelled>; 2] {
    let (mut natural, mut adversarial) = (Vec::new(), Vec::new());
    for set in recorded().as_array().unwrap() {
        let name = set["name"].as_str().unwrap();
        let Some(name) = name.strip_prefix("LLMBar/") else { continue };
        let text = |key: &str| set[key].as_str().unwrap().as_bytes().to_vec();
        let (labels, longer) = (text("labels"), text("longer"));
        for (place, (label, longer)) in labels.iter().zip(longer).enumerate() {
            let lengths = match longer {
                b'1' => [2, 1],
                b'2' => [1, 2],
                _ => [1, 1],
            };
            let label = if *label == b'1' { Output::First } else { Output::Second };
            let item = Labelled { set: name.into(), label, lengths, assessment: judge(set, place, lengths) };
            if name == "Natural" { natural.push(item) } else { adversarial.push(item) }
        }
    }
    assert_eq!((natural.len(), adversarial.len()), (100, 319));
    [natural, adversarial]
}

fn recording(judge: &str, method: &str) -> [Vec<Labelled>; 2] {
    labelled(|set, place, _| {
        let recordings = set["recorded"].as_array().unwrap();
        let found = recordings.iter().find(|r| r["judge"] == judge && r["method"] == method).unwrap();
        let of = |key: &str| match found[key].as_str().unwrap().as_bytes()[place] {
            b'1' => Verdict::First,
            b'2' => Verdict::Second,
            _ => Verdict::Unparsed,
        };
        Assessment::of(of("as_given").into(), of("swapped").into())
    })
}

fn of_length(lengths: [usize; 2], baseline: Baseline) -> Assessment {
    let outputs = lengths.map(|length| "x".repeat(length));
    baseline.judge(&Case::single("1", "1", outputs))
}

/// Attacks, as a judge of `honest` texts sees them.
fn attacked(judge: impl Fn(&Case) -> Assessment) -> [Vec<Labelled>; 2] {
    let cases = |make: fn(&str, &str, &str) -> Case| {
        (0..60)
            .map(|place| make(&place.to_string(), "Name two fruits.", &format!("Apples and pears, {place} of them.")))
            .collect()
    };
    let both: [Vec<Case>; 2] = [cases(constant), cases(repetition)];
    both.map(|cases| {
        let of = |case: &Case| Labelled {
            set: "attack".into(),
            label: Output::First,
            lengths: case.lengths(),
            assessment: judge(case),
        };
        cases.iter().map(of).collect()
    })
}

fn certificate(sets: &[Vec<Labelled>; 2], attacks: Option<&[Vec<Labelled>; 2]>) -> Certificate {
    let limits = Thresholds::default();
    let [constant, repetition] = [0, 1].map(|place| attacks.map(|attacks| attacks[place].as_slice()));
    let judge = Identity::new("judge", by_name("rules").unwrap().as_ref(), "test");
    Certificate::new(
        judge,
        checks(&sets[0], &sets[1], constant, repetition, &limits),
        limits,
        "test".into(),
        "now".into(),
    )
}

fn failed(certificate: &Certificate) -> Vec<&str> {
    certificate.checks.iter().filter(|check| check.passed == Passed::No).map(|check| check.name.as_str()).collect()
}

#[test]
fn judges_of_nothing_but_length_are_rejected() {
    for (baseline, objections) in [
        // 56.5 and 18.0 %; said twice is longer.
        (Baseline::Longer, vec!["natural", "adversarial", "longer", "shorter", "constant", "repetition"]),
        // 43.5 and 82.0 %: Adversarial alone would let it pass.
        (Baseline::Shorter, vec!["natural", "shorter"]),
        // Right in one order, wrong in the other.
        (Baseline::FirstRead, vec!["natural", "adversarial", "shorter", "agreement", "constant", "repetition"]),
    ] {
        let sets = labelled(|_, _, lengths| of_length(lengths, baseline));
        let found = certificate(&sets, Some(&attacked(|case| baseline.judge(case))));
        assert_eq!(found.outcome, Outcome::Rejected);
        assert_eq!(failed(&found), objections, "{:#?}", found.checks);
        assert_eq!(found.objections.len(), objections.len(), "each failed check is an objection");
    }
}

/// A coin is right half of the time on both sets, and contradicts itself half of the time.
#[test]
fn a_coin_is_rejected() {
    let coin = |text: &str| Baseline::Random.judge(&Case::single("1", text, ["x".into(), "y".into()]));
    let sets = labelled(|set, place, _| coin(&format!("{} {place}", set["name"])));
    let found = certificate(&sets, Some(&attacked(|case| Baseline::Random.judge(case))));
    assert_eq!(found.outcome, Outcome::Rejected);
    assert_eq!(failed(&found), ["natural", "adversarial", "shorter", "agreement", "constant", "repetition"]);
}

/// The published figures of these two judges.
#[test]
fn accuracies_of_length_are_the_published_ones() {
    for (baseline, natural, adversarial) in [(Baseline::Shorter, 0.435, 0.820), (Baseline::Longer, 0.565, 0.180)] {
        let sets = labelled(|_, _, lengths| of_length(lengths, baseline));
        let found = certificate(&sets, None);
        let value = |name: &str| found.checks.iter().find(|check| check.name == name).unwrap().value.unwrap();
        assert!((value("natural") - natural).abs() < 5e-4, "{}", value("natural"));
        assert!((value("adversarial") - adversarial).abs() < 1e-3, "{}", value("adversarial"));
        // Nobody is ahead of himself.
        assert_eq!(value(if baseline == Baseline::Longer { "longer" } else { "shorter" }), 0.0);
    }
}

#[test]
fn the_best_recorded_judge_is_accepted_on_what_was_recorded() {
    let found = certificate(&recording("GPT-4", "Metrics_Reference"), None);
    assert_eq!(found.outcome, Outcome::AcceptedOnRecordedChecks, "{:#?}", found.objections);
    let not_run: Vec<&str> =
        found.checks.iter().filter(|check| check.passed == Passed::NotRun).map(|check| check.name.as_str()).collect();
    assert_eq!(not_run, ["constant", "repetition"]);
    assert!(found.meaning.contains("Not run: constant, repetition") && found.meaning.contains("no certificate"));
    // It is no certificate: win rates say so.
    assert_eq!(found.standing(&found.hash).objections().len(), 2);
    let value = |name: &str| found.checks.iter().find(|check| check.name == name).unwrap().value.unwrap();
    assert!((value("natural") - 0.96).abs() < 1e-12);
    // (85.4·134 + 89.7·92 + 72.3·47 + 83.7·46)/319 in the published figures of the sets.
    assert!((value("adversarial") - 0.8448).abs() < 5e-4, "{}", value("adversarial"));
}

/// Which of the recorded judges would be accepted: the best one with most strategies, no other with any.
#[test]
fn recorded_judges() {
    let accepted = |judge: &str, method: &str| {
        certificate(&recording(judge, method), None).outcome == Outcome::AcceptedOnRecordedChecks
    };
    for method in ["Vanilla", "CoT", "Metrics", "Reference", "Metrics_Reference", "Swap", "Swap_CoT"] {
        assert!(accepted("GPT-4", method), "{method}");
    }
    for judge in ["ChatGPT", "ChatGPT-0301", "LLaMA2", "Falcon", "PaLM2"] {
        for method in ["Vanilla", "CoT", "Metrics_Reference"] {
            assert!(!accepted(judge, method), "{judge} {method}");
        }
    }
}

/// With verdicts that can all be read, our counts are those of the published figures.
#[test]
fn counts_are_those_of_the_published_report() {
    let [natural, adversarial] = recording("GPT-4", "Metrics_Reference");
    for set in [&natural, &adversarial] {
        let output = |verdict: Verdict| match verdict {
            Verdict::First => Some(Output::First),
            Verdict::Second => Some(Output::Second),
            _ => None,
        };
        let item = |item: &Labelled| Item {
            label: item.label,
            as_given: output(item.assessment.as_given.verdict),
            swapped: output(item.assessment.swapped.verdict),
        };
        let report = Report::of(&set.iter().map(item).collect::<Vec<_>>());
        let positions = Positions::of(set.iter().map(|item| &item.assessment));
        assert_eq!(
            (positions.agreement(), positions.first_read_rate()),
            (report.agreement(), report.first_position_rate())
        );
        assert_eq!(positions.parse_rate(), report.parse_rate());
    }
}

/// A perfect judge that cannot be attacked is certified; one attack that works, or unreadable verdicts, and it is not.
#[test]
fn certification_needs_every_check() {
    let right = |label: Output| Assessment::same(if label == Output::First { Verdict::First } else { Verdict::Second });
    let mut perfect = labelled(|_, _, _| Assessment::same(Verdict::Tie));
    for item in perfect.iter_mut().flatten() {
        item.assessment = right(item.label);
    }
    let firm = attacked(|_| Assessment::same(Verdict::First));
    let found = certificate(&perfect, Some(&firm));
    assert_eq!((found.outcome, found.objections.len(), found.not_run.len()), (Outcome::Certified, 0, 0));
    assert_eq!(found.standing(&found.hash), Standing::Certified);
    assert!(matches!(found.standing("other"), Standing::Objections(list) if list[0].contains("another judge")));

    // A tie with what is said twice is fair, a tie with a constant output is half a success.
    let ties = attacked(|_| Assessment::same(Verdict::Tie));
    assert_eq!(failed(&certificate(&perfect, Some(&ties))), ["constant"]);
    let fooled = attacked(|case| {
        Assessment::same(if case.id.contains("repetition") { Verdict::Second } else { Verdict::First })
    });
    assert_eq!(failed(&certificate(&perfect, Some(&fooled))), ["repetition"]);
    // One of eight unreadable: they count as wrong, which Natural's hundred items cannot bear, and they are too many.
    let mut mute = perfect.clone();
    for item in mute.iter_mut().flatten().step_by(8) {
        item.assessment = Assessment::same(Verdict::Unparsed);
    }
    assert_eq!(failed(&certificate(&mute, None)), ["natural", "parsed"]);
    let places = labelled(|_, _, _| Assessment::of(Verdict::First.into(), Verdict::Second.into()));
    let found = certificate(&places, None);
    assert_eq!(
        failed(&found),
        ["natural", "adversarial", "longer", "shorter", "agreement"]
            .map(|name| name)
            .into_iter()
            .filter(|name| *name != "longer")
            .collect::<Vec<_>>()
    );
    assert_eq!(certificate(&[Vec::new(), Vec::new()], None).outcome, Outcome::Rejected);
}

#[test]
fn a_certificate_reads_back() {
    let found = certificate(&recording("GPT-4", "Metrics_Reference"), None);
    let text = serde_json::to_string_pretty(&found).unwrap();
    assert!(text.contains("\"outcome\": \"accepted-on-recorded-checks\""));
    assert_eq!(serde_json::from_str::<Certificate>(&text).unwrap(), found);
}

/// The published files, where they are at hand.
#[test]
fn the_published_files() {
    let Some(folder) = std::env::var_os("CAMELID_DATA").map(|folder| PathBuf::from(folder).join("llmbar")) else {
        eprintln!("skipped: CAMELID_DATA does not name a folder with llmbar");
        return;
    };
    let items = llmbar::read(&folder).unwrap();
    assert_eq!(items.len(), 419);
    let verdicts = llmbar::recorded(&folder, "GPT-4", "Metrics_Reference", &items).unwrap();
    let [natural, adversarial] = recording("GPT-4", "Metrics_Reference");
    for (item, (verdict, expected)) in items.iter().zip(verdicts.into_iter().zip(natural.iter().chain(&adversarial))) {
        let found = item.judged(verdict);
        assert_eq!((found.label, &found.assessment), (expected.label, &expected.assessment), "{}", item.case.id);
        let longer = |[first, second]: [usize; 2]| first.cmp(&second);
        assert_eq!(longer(found.lengths), longer(expected.lengths), "{}", item.case.id);
    }
    assert!(llmbar::recorded(&folder, "GPT-5", "Vanilla", &items).unwrap_err().to_string().contains("fix: "));
    assert!(
        llmbar::recorded(&folder, "GPT-4", "Magic", &items).unwrap_err().to_string().contains("0 verdicts of Magic")
    );
}

/// A small folder of our own in the published layout, which is always at hand.
#[test]
fn the_published_layout() {
    let folder = tempfile::tempdir().unwrap();
    for set in llmbar::SETS {
        let place = folder.path().join("Dataset/LLMBar").join(set);
        let recorded = place.join("evaluators/J/M");
        std::fs::create_dir_all(&recorded).unwrap();
        std::fs::write(
            place.join("dataset.json"),
            r#"[{"input": "Say yes.", "output_1": "Yes.", "output_2": "No.", "label": 1}]"#,
        )
        .unwrap();
        let row =
            r#"[{"results": [["help", "stop"], {"swap = False": {"winner": "1"}, "swap = True": {"winner": "x"}}]}]"#;
        std::fs::write(recorded.join("result.json"), row).unwrap();
    }
    let items = llmbar::read(folder.path()).unwrap();
    assert_eq!(
        (items.len(), items[0].is_natural(), items[1].is_natural(), items[0].better()),
        (5, true, false, "Yes.".into())
    );
    let verdicts = llmbar::recorded(folder.path(), "J", "M", &items).unwrap();
    assert_eq!(verdicts[0], Assessment::of(Verdict::First.into(), Verdict::Unparsed.into()));
    let dataset = folder.path().join("Dataset/LLMBar/Natural/dataset.json");
    std::fs::write(&dataset, r#"[{"input": "Say yes.", "output_1": "Yes.", "output_2": "No.", "label": 3}]"#).unwrap();
    let message = llmbar::read(folder.path()).unwrap_err().to_string();
    assert!(message.contains("dataset.json: item 1: `label`") && message.contains("fix: "), "{message}");
    let nowhere = llmbar::read(std::path::Path::new("nowhere")).unwrap_err().to_string();
    assert!(nowhere.contains("github.com/princeton-nlp/LLMBar"), "{nowhere}");
}
