//! What each strategy says, word by word, and in which order.

use std::fmt::Write as _;

use camelid_judge::{Case, Step, all, by_name, fingerprint};
use camelid_records::Reply;

fn case() -> Case {
    Case { references: None, ..Case::single("1", "Name a fruit.", ["A pear.".into(), "Fruits are healthy.".into()]) }
}

fn dialogue() -> Case {
    Case {
        turns: vec!["What is 2 + 2?".into(), "And doubled?".into()],
        outputs: [vec!["4".into(), "8".into()], vec!["5".into(), "10".into()]],
        references: Some(vec!["4".into(), "8".into()]),
        ..case()
    }
}

/// All prompts of a strategy whose questions are answered with `reply`, round by round.
fn script(name: &str, case: &Case, reply: &str) -> String {
    let strategy = by_name(name).unwrap();
    let (mut rounds, mut script) = (Vec::new(), String::new());
    loop {
        match strategy.step(case, &rounds) {
            Step::Done(assessment) => {
                let _ = write!(
                    script,
                    "==> {:?}, {:?}, combined {:?}",
                    assessment.as_given.verdict, assessment.swapped.verdict, assessment.combined
                );
                return script;
            }
            Step::Ask(questions) => {
                for (place, question) in questions.iter().enumerate() {
                    let _ = writeln!(
                        script,
                        "==> round {}, question {}: {:?}",
                        rounds.len() + 1,
                        place + 1,
                        question.answer
                    );
                    for message in &question.messages {
                        let _ = writeln!(script, "<{}>\n{}", message.role, message.content);
                    }
                }
                let answered = || Reply::Answered { texts: vec![reply.to_owned()], log_probs: None };
                rounds.push(questions.iter().map(|_| answered()).collect());
            }
        }
    }
}

/// Every strategy on one turn. The reply is a verdict for place A of every format, so that both orders contradict each other.
#[test]
fn prompts_of_one_turn() {
    for strategy in all() {
        let reply = match strategy.name() {
            "mt-bench" | "mt-bench-reference" => "reasons [[A]]",
            "mt-bench-single" => "reasons [[7]]",
            "rating" => "7",
            "faireval" => "evidence\nScore A: 8\nScore B: 6",
            "alpaca-eval" => "m",
            "ai-feedback" => "1",
            "cot" | "swap" | "swap-cot" | "panel" => "reasons\nVerdict: A",
            _ => "A",
        };
        insta::assert_snapshot!(format!("one_turn_{}", strategy.name()), script(strategy.name(), &case(), reply));
    }
}

#[test]
fn prompts_of_a_dialogue_with_references() {
    for name in ["mt-bench", "mt-bench-reference", "mt-bench-single", "metrics-reference"] {
        insta::assert_snapshot!(format!("dialogue_{name}"), script(name, &dialogue(), "A [[A]]"));
    }
}

/// The second order is the first with the outputs exchanged, and nothing else.
#[test]
fn orders_differ_in_their_outputs_only() {
    for strategy in all().iter().filter(|strategy| strategy.grader().is_none()) {
        let exchanged = Case { outputs: [case().outputs[1].clone(), case().outputs[0].clone()], ..case() };
        // Helps come first and know no outputs.
        let rounds: Vec<Vec<Reply>> = Vec::new();
        let questions = |case: &Case, rounds: &[Vec<Reply>]| match strategy.step(case, rounds) {
            Step::Ask(questions) => questions,
            Step::Done(_) => panic!("{} is done at once", strategy.name()),
        };
        let (mut ours, mut theirs) = (questions(&case(), &rounds), questions(&exchanged, &rounds));
        if ours == theirs {
            let help = || Reply::Answered { texts: vec!["help".into()], log_probs: None };
            let rounds = vec![ours.iter().map(|_| help()).collect::<Vec<_>>()];
            (ours, theirs) = (questions(&case(), &rounds), questions(&exchanged, &rounds));
        }
        assert_eq!(ours.len(), 2, "{}", strategy.name());
        theirs.reverse();
        assert_eq!(ours, theirs, "{}", strategy.name());
        assert_ne!(ours[0], ours[1], "{}", strategy.name());
    }
}

/// Certificates are kept under this: a change of words must be seen to change it, and nothing else may.
#[test]
fn fingerprints_tell_strategies_apart() {
    let mut prints: Vec<String> = all().iter().map(|strategy| fingerprint(strategy.as_ref())).collect();
    assert_eq!(prints, all().iter().map(|strategy| fingerprint(strategy.as_ref())).collect::<Vec<_>>());
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), all().len());
    assert!(by_name("best").err().unwrap().to_string().contains("fix: use one of vanilla, rules"));
}
