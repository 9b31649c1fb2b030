//! From replies to verdicts: what each strategy makes of what a judge may say.

use camelid_judge::{Case, Step, by_name};
use camelid_records::{Assessment, Reply, Verdict};

fn text(text: &str) -> Reply {
    Reply::Answered { texts: vec![text.into()], log_probs: None }
}

fn scored(a: f64, b: f64) -> Reply {
    Reply::Answered { texts: vec!["A".into()], log_probs: Some(vec![a, b]) }
}

fn case() -> Case {
    Case::single("1", "Name a fruit.", ["A pear.".into(), "Fruits are healthy.".into()])
}

fn done(name: &str, rounds: &[Vec<Reply>]) -> Assessment {
    match by_name(name).unwrap().step(&case(), rounds) {
        Step::Done(assessment) => assessment,
        Step::Ask(questions) => panic!("{name} asks {} more", questions.len()),
    }
}

/// (strategy, replies of the last round, verdicts in both orders, combined). Verdicts name outputs of the data.
#[test]
fn table() {
    use Verdict::{First, Second, Tie, Unparsed};
    for (name, [as_given, swapped], verdicts, combined) in [
        ("vanilla", ["A", "B"], [First, First], Some(1.0)),
        ("vanilla", ["A", "A"], [First, Second], Some(0.5)),
        ("vanilla", ["Output (b) is better", "a."], [Second, Second], Some(0.0)),
        ("vanilla", ["both are fine", "A"], [Unparsed, Second], None),
        ("vanilla", ["", ""], [Unparsed, Unparsed], None),
        ("rules", ["B", "A"], [Second, Second], Some(0.0)),
        ("few-shot", ["A", "B"], [First, First], Some(1.0)),
        ("cot", ["short. Verdict: A", "long.\nVerdict: **B**"], [First, First], Some(1.0)),
        ("cot", ["A is better", "Verdict: A"], [Unparsed, Second], None),
        ("mt-bench", ["[[A]]", "[[C]]"], [First, Tie], Some(0.75)),
        ("mt-bench", ["[[C]]", "[[C]]"], [Tie, Tie], Some(0.5)),
        ("mt-bench", ["A", "[[B]]"], [Unparsed, First], None),
        ("rating", ["8", "3"], [First, First], Some(1.0)),
        ("rating", ["5", "5"], [Tie, Tie], Some(0.5)),
        ("rating", ["8 out of 9", "3"], [Unparsed, Unparsed], None),
        ("rating", ["7.5", "3"], [Unparsed, Unparsed], None),
        ("mt-bench-single", ["fine [[4]]", "finer [[9]]"], [Second, Second], Some(0.0)),
        ("alpaca-eval", ["m", "M"], [First, First], Some(1.0)),
        ("alpaca-eval", ["M", "M"], [Second, First], Some(0.5)),
        ("ai-feedback", ["2", "Response 1"], [Second, Second], Some(0.0)),
        ("faireval", ["Score A: 8\nScore B: 6", "Score A: 5\nScore B: 6"], [First, First], Some(1.0)),
        // 8 - 6 in one order, 9 - 4 against in the other: the mean is for the second.
        ("faireval", ["Score A: 8\nScore B: 6", "Score A: 9\nScore B: 4"], [First, Second], Some(0.0)),
        ("faireval", ["Score A: 8\nScore B: 6", "no scores"], [First, Unparsed], None),
    ] {
        let found = done(name, &[vec![text(as_given), text(swapped)]]);
        let context = format!("{name}: {as_given}, {swapped}");
        assert_eq!([found.as_given.verdict, found.swapped.verdict], verdicts, "{context}");
        assert_eq!(found.combined, combined, "{context}");
    }
}

#[test]
fn failures_are_not_unparsed_and_not_ties() {
    for strategy in camelid_judge::all() {
        let (mut rounds, mut failed) = (Vec::new(), None);
        while failed.is_none() {
            match strategy.step(&case(), &rounds) {
                Step::Ask(questions) => rounds.push(questions.iter().map(|_| Reply::Failed("down".into())).collect()),
                Step::Done(assessment) => failed = Some(assessment),
            }
        }
        assert_eq!(rounds.len(), 1, "{} goes on after a failure", strategy.name());
        assert_eq!(failed, Some(Assessment::same(Verdict::Failed)), "{}", strategy.name());
    }
}

/// Log-probabilities decide where they are told, whatever the text says.
#[test]
fn log_probabilities_decide() {
    // p(A) = 3/4 in the first order; p(A) = 1/4 in the second, where A is the second output.
    let quarter = 0.25_f64.ln();
    let rounds = [vec![scored(quarter, quarter - 3.0_f64.ln()), scored(quarter - 3.0_f64.ln(), quarter)]];
    for name in ["vanilla", "alpaca-eval", "ai-feedback"] {
        let found = done(name, &rounds);
        assert!((found.as_given.preference.unwrap() - 0.75).abs() < 1e-12, "{name}");
        assert!((found.swapped.preference.unwrap() - 0.75).abs() < 1e-12, "{name}");
        assert!((found.as_given.mass.unwrap() - (0.25 + 0.25 / 3.0)).abs() < 1e-12, "{name}");
        assert_eq!([found.as_given.verdict, found.swapped.verdict], [Verdict::First; 2]);
        // A soft label keeps how sure the judge was; a verdict does not.
        let combined = if name == "vanilla" { 1.0 } else { 0.75 };
        assert!((found.combined.unwrap() - combined).abs() < 1e-12, "{name}");
    }
    // The same preference for the place in both orders cancels.
    let found = done("ai-feedback", &[vec![scored(-0.1, -3.0), scored(-0.1, -3.0)]]);
    assert!((found.combined.unwrap() - 0.5).abs() < 1e-12);
    assert_eq!([found.as_given.verdict, found.swapped.verdict], [Verdict::First, Verdict::Second]);
    // Equal ones are a tie; none at all leave the text.
    assert_eq!(done("rules", &[vec![scored(-1.0, -1.0), scored(-1.0, -1.0)]]).combined, Some(0.5));
    let none = [vec![scored(f64::NEG_INFINITY, f64::NEG_INFINITY), scored(f64::NEG_INFINITY, f64::NEG_INFINITY)]];
    assert_eq!(done("rules", &none).as_given.verdict, Verdict::First);
}

#[test]
fn swap_reviews_contradictions_only() {
    let first = |a: &str, b: &str| vec![vec![text(a), text(b)]];
    assert_eq!(done("swap", &first("Verdict: A", "Verdict: B")).combined, Some(1.0));
    // One that cannot be read contradicts nothing.
    assert_eq!(done("swap", &first("Verdict: A", "?")).combined, None);
    let mut rounds = first("Verdict: A", "Verdict: A");
    assert!(matches!(by_name("swap").unwrap().step(&case(), &rounds), Step::Ask(questions) if questions.len() == 2));
    rounds.push(vec![text("B"), text("A")]);
    assert_eq!(done("swap", &rounds).combined, Some(0.0));
    rounds[1] = vec![text("Verdict: B"), text("Verdict: A")];
    assert_eq!(done("swap-cot", &rounds).combined, Some(0.0));
}

#[test]
fn a_panel_votes_with_its_last_turns() {
    let talk = |last: [&str; 3]| -> Vec<Vec<Reply>> {
        let turns = ["Verdict: B", "Verdict: B", "Verdict: B"].into_iter().chain(last);
        // The second order agrees with the first: what is A there is B here.
        let other = |turn: &str| turn.replace("Verdict: A", "verdict: b").replace("Verdict: B", "verdict: a");
        turns.map(|turn| vec![text(turn), text(&other(turn))]).collect()
    };
    for (votes, combined) in [
        (["Verdict: A", "Verdict: A", "Verdict: B"], Some(1.0)),
        (["Verdict: A", "Verdict: tie", "Verdict: B"], Some(0.5)),
        (["Verdict: B", "Verdict: B", "?"], Some(0.0)),
        (["Verdict: B", "?", "?"], None),
        (["Verdict: A", "Verdict: B", "?"], Some(0.5)),
    ] {
        assert_eq!(done("panel", &talk(votes)).combined, combined, "{votes:?}");
    }
}

/// By hand: two wins, two ties, two losses of the first have entropy ln 3.
#[test]
fn fair_evaluation_averages_and_measures_doubt() {
    let samples = |scores: [[u8; 2]; 3]| Reply::Answered {
        texts: scores.map(|[a, b]| format!("Score A: {a}\nScore B: {b}")).into(),
        log_probs: None,
    };
    let rounds = [vec![samples([[9, 7], [8, 6], [8, 8]]), samples([[8, 7], [8, 7], [8, 8]])]];
    let found = done("faireval", &rounds);
    let [first, second] = found.ratings.unwrap();
    assert!((first - 47.0 / 6.0).abs() < 1e-12 && (second - 45.0 / 6.0).abs() < 1e-12);
    assert!((found.entropy.unwrap() - 3.0_f64.ln()).abs() < 1e-12);
    assert_eq!(found.combined, Some(1.0));
    assert_eq!([found.as_given.verdict, found.swapped.verdict], [Verdict::First, Verdict::Second]);
}
