//! Judges with planted habits have the figures that follow from them.

use camelid_judge::figures::{Positions, compare};
use camelid_judge::{Asker, Baseline, Case, Identity, Judge, LogProbs, by_name};
use camelid_records::{Judgement, Verdict};

use crate::stub::{Asked, Stub, cases};

fn judge(stub: &Stub, strategy: &str, cases: &[Case]) -> Vec<Judgement> {
    let strategy = by_name(strategy).unwrap();
    let identity = Identity::new("stub", strategy.as_ref(), "test").hash();
    let asker = Asker { generator: stub, log_probs: LogProbs::Unused, seed: 0 };
    let mut judged = Vec::new();
    Judge::Asked { asker, strategy: strategy.as_ref() }.judge(&identity, cases, &mut |place, judgement| {
        assert_eq!(place, judged.len());
        judged.push(judgement);
        true
    });
    judged
}

/// The letter of the output that `first` prefers.
fn letter(asked: &Asked, prefers_first: impl Fn(&str, &str) -> bool) -> String {
    let [a, b] = asked.outputs.as_ref().expect("no outputs in the prompt");
    if prefers_first(a, b) { "A".into() } else { "B".into() }
}

fn good(a: &str, _: &str) -> bool {
    a.starts_with("good")
}

#[test]
fn a_perfect_judge() {
    let stub = Stub::new(|asked| Ok(letter(asked, good)));
    let judged = judge(&stub, "rules", &cases(100));
    let figures = compare(&judged, 0);
    // Every second case has the good output first.
    assert_eq!((figures.wins, figures.losses, figures.ties, figures.undecided), (50, 50, 0, 0));
    assert_eq!(figures.positions.agreement(), Some(1.0));
    assert_eq!(figures.positions.first_read_rate(), Some(0.5));
    assert_eq!(figures.positions.parse_rate(), Some(1.0));
    for (place, judgement) in judged.iter().enumerate() {
        let right = if place % 2 == 0 { Verdict::First } else { Verdict::Second };
        assert_eq!([judgement.assessment.as_given.verdict, judgement.assessment.swapped.verdict], [right; 2]);
    }
    assert_eq!(*stub.asked.lock().unwrap(), 200);
}

#[test]
fn a_judge_of_places() {
    let judged = judge(&Stub::new(|_| Ok("A".into())), "vanilla", &cases(40));
    let figures = compare(&judged, 0);
    assert_eq!((figures.wins, figures.losses, figures.ties), (0, 0, 40));
    assert_eq!(figures.win_rate.unwrap().value, 0.5);
    assert_eq!((figures.positions.agreement(), figures.positions.first_read_rate()), (Some(0.0), Some(1.0)));
    // It would win every time in one order alone, which is why both are asked.
    assert!(judged.iter().all(|judgement| judgement.assessment.as_given.verdict == Verdict::First));
}

#[test]
fn a_judge_of_lengths() {
    let stub = Stub::new(|asked| Ok(letter(asked, |a, b| a.len() >= b.len())));
    let cases: Vec<Case> = cases(99).into_iter().filter(|case| case.lengths()[0] != case.lengths()[1]).collect();
    let judged = judge(&stub, "rules", &cases);
    for (case, judgement) in cases.iter().zip(&judged) {
        assert_eq!(judgement.assessment, Baseline::Longer.judge(case));
        let [first, second] = case.lengths();
        assert_eq!(judgement.assessment.combined, Some(f64::from(u8::from(first > second))));
    }
    // Length decides every verdict, so that there is no win rate at equal lengths to be fitted.
    let figures = compare(&judged, 0);
    assert_eq!(figures.positions.agreement(), Some(1.0));
    assert_eq!(figures.length_controlled, None);
}

/// A judge that mostly follows length: the plain rate says that the longer model is better, the controlled one does not.
#[test]
fn length_control_takes_length_out() {
    let cases: Vec<Case> = (0..400)
        .map(|place| {
            // The first model writes more, by an amount that varies.
            let [first, second] = [30 + place * 7 % 61, 30 + place * 11 % 37];
            Case::single(format!("{place}"), format!("{place}"), ["x".repeat(first), "y".repeat(second)])
        })
        .collect();
    let stub = Stub::new(|asked| {
        let noise = f64::from(blake3_byte(&asked.outputs.as_ref().unwrap().concat())) / 255.0 - 0.5;
        // Symmetric in the outputs, so that the noise is the same in both orders.
        let sign = |a: &str| if a.starts_with('x') { 1.0 } else { -1.0 };
        Ok(letter(asked, |a, b| (a.len() as f64 - b.len() as f64) / 60.0 + sign(a) * noise > 0.0))
    });
    let figures = compare(&judge(&stub, "rules", &cases), 0);
    let controlled = figures.length_controlled.unwrap();
    assert!(figures.win_rate.unwrap().value > 0.6, "{:?}", figures.win_rate);
    assert!(controlled.interval.unwrap().contains(0.5), "{controlled:?}");
    assert!(controlled.fitted.length > 0.5 && controlled.draws == 1000);
}

/// The same for both orders of two texts.
fn blake3_byte(text: &str) -> u8 {
    text.len().wrapping_mul(2_654_435_761).to_le_bytes()[2]
}

/// A fair coin in each order: half agree, and the win rate's interval covers a half.
#[test]
fn a_judge_of_coins() {
    let cases = cases(400);
    let assessments: Vec<_> = cases.iter().map(|case| Baseline::Random.judge(case)).collect();
    let positions = Positions::of(&assessments);
    let agreement = positions.agreement_interval().unwrap();
    assert!(agreement.contains(0.5), "{agreement:?}");
    let first = positions.first_read_rate().unwrap();
    assert!((first - 0.5).abs() < 3.0 * (0.25_f64 / 800.0).sqrt(), "{first}");
}

/// Reasons in one order and their opposite in the other are reviewed; a reviewer that knows repairs them.
#[test]
fn a_review_repairs_a_judge_of_places() {
    let stub = Stub::new(|asked| {
        let reviews = asked.text.contains("you review") || asked.text.contains("You review");
        if reviews { Ok(letter(asked, good)) } else { Ok("Verdict: A".into()) }
    });
    let judged = judge(&stub, "swap", &cases(10));
    assert_eq!(Positions::of(judged.iter().map(|judgement| &judgement.assessment)).agreement(), Some(1.0));
    assert!(judged.iter().all(|judgement| judgement.rounds.len() == 2));
}
