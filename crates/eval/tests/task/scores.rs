//! Replies whose scores were worked out by hand.

use camelid_eval::results::{Item, Status, TaskResult};
use camelid_eval::task::{
    Answer, Answerer, CodeRunner, Context, Draw, Failure, FailureKind, Likelihood, Options, Rater, Reply, Request,
    Sampling, Verdict,
};
use serde_json::json;

use super::Written;

/// Gives replies in turn.
struct Script(Vec<Result<Reply, Failure>>);

impl Answerer for Script {
    fn answer(
        &mut self,
        requests: &[Request],
        done: &mut dyn FnMut(usize, Result<Reply, Failure>),
    ) -> Result<(), Failure> {
        for (place, _) in requests.iter().enumerate() {
            if self.0.is_empty() {
                return Err(Failure { kind: FailureKind::Timeout, message: "no more".into() });
            }
            done(place, self.0.remove(0));
        }
        Ok(())
    }
}

// Beside failures in the same list.
#[allow(clippy::unnecessary_wraps)]
fn likelihoods(log_probs: &[f64]) -> Result<Reply, Failure> {
    let of = |&log_prob: &f64| Likelihood { log_prob, tokens: 2, greedy: Some(false) };
    Ok(Reply::Likelihoods(log_probs.iter().map(of).collect()))
}

#[allow(clippy::unnecessary_wraps)]
fn says(text: &str) -> Result<Reply, Failure> {
    Ok(Reply::Answer(Answer { text: text.into(), truncated: false, tokens: Some(3) }))
}

fn score(written: &Written, replies: Vec<Result<Reply, Failure>>) -> (TaskResult, Vec<Item>) {
    score_with(written, replies, None)
}

fn score_with(
    written: &Written,
    replies: Vec<Result<Reply, Failure>>,
    runner: Option<&mut dyn CodeRunner>,
) -> (TaskResult, Vec<Item>) {
    written.asked(false).evaluate(&mut Script(replies), runner, None, &mut |_, _| ()).unwrap()
}

/// A task's one item several times.
fn several(name: &str, count: usize) -> Written {
    let mut written = Written::of(name);
    let first = written.items[0].clone();
    written.items =
        (0..count).map(|number| camelid_eval::task::Item { id: number.to_string(), ..first.clone() }).collect();
    written
}

#[test]
fn acc_takes_the_largest_sum_and_acc_norm_the_largest_per_character() {
    // ice, fire, snow; fire is right. By sums ice wins (-2.9); by characters: -0.9667, -0.75, -0.8 fire does.
    let (result, items) = score(&Written::of("arc-easy"), vec![likelihoods(&[-2.9, -3.0, -3.2])]);
    assert_eq!((result.metric.as_str(), result.value), ("acc_norm", Some(1.0)));
    let acc = result.secondary.iter().find(|figure| figure.metric == "acc").unwrap();
    assert_eq!(acc.value, 0.0);
    assert_eq!((items[0].answer.as_str(), items[0].reference.as_str()), ("fire", Some("fire")));
}

#[test]
fn mc1_and_mc2_are_those_of_the_paper() {
    // The best answer against two wrong ones.
    let (result, _) = score(&Written::of("truthfulqa-mc1"), vec![likelihoods(&[-1.0, -2.0, -0.5])]);
    assert_eq!(result.value, Some(0.0));
    // Probabilities 0.2, 0.1 true and 0.3 false: 0.3 / 0.6.
    let (result, _) =
        score(&Written::of("truthfulqa-mc2"), vec![likelihoods(&[0.2_f64.ln(), 0.1_f64.ln(), 0.3_f64.ln()])]);
    assert!((result.value.unwrap() - 0.5).abs() < 1e-12);
}

#[test]
fn bits_per_byte_are_a_ratio_of_sums() {
    // 21 bytes, -21 ln 2 nats: one bit a byte.
    let log_prob = -21.0 * std::f64::consts::LN_2;
    let (result, _) = score(&Written::of("books"), vec![likelihoods(&[log_prob])]);
    assert!((result.value.unwrap() - 1.0).abs() < 1e-12);
}

#[test]
fn what_cannot_be_read_is_wrong_in_the_value_and_open_in_the_bounds() {
    let cut = Ok(Reply::Answer(Answer { text: "First we".into(), truncated: true, tokens: Some(2) }));
    let refused = Err(Failure { kind: FailureKind::Server, message: "503".into() });
    let replies = vec![says("2 + 3 = 5\n#### 5"), says("so it is 6\n#### 6"), says(""), cut, refused];
    let (result, items) = score(&several("gsm8k", 6), replies);
    // The sixth got no reply at all, as the model broke off.
    let statuses: Vec<Status> = items.iter().map(|item| item.status).collect();
    assert_eq!(statuses, [Status::Ok, Status::Ok, Status::Empty, Status::Truncated, Status::Error, Status::Error]);
    assert_eq!((result.n, result.parsed, result.empty, result.truncated, result.errors), (6, 2, 1, 1, 2));
    // One of the four with an answer is right.
    assert_eq!(result.value, Some(0.25));
    let [low, high] = result.bounds.unwrap();
    assert!((low - 1.0 / 6.0).abs() < 1e-12 && (high - 5.0 / 6.0).abs() < 1e-12);
    assert_eq!(items[4].details["error"]["kind"], "server");
    assert_eq!(items[5].details["error"]["kind"], "timeout");
    assert_eq!(items[4].score, None);
}

#[test]
fn what_is_written_is_what_comparisons_read() {
    let replies =
        vec![says("#### 5"), says("no idea"), Err(Failure { kind: FailureKind::Overflow, message: "long".into() })];
    let (result, items) = score(&several("gsm8k", 3), replies);
    let lines: String = items.iter().map(|item| serde_json::to_string(item).unwrap() + "\n").collect();
    let read = camelid_eval::results::parse_items("items/gsm8k.jsonl", "gsm8k", &lines).unwrap();
    assert_eq!(read.len(), result.n);
}

#[test]
fn letters_statements_expressions_and_whole_answers_are_compared() {
    for (name, reply, right) in [
        ("bbh-cot", "We negate it. So the answer is True.", 1.0),
        ("bbh-cot", "We negate it. So the answer is False.", 0.0),
        ("bbh", " True\n", 1.0),
        ("math", "It is $\\boxed{5}$.", 1.0),
        ("math", "It is $\\boxed{6}$.", 0.0),
        ("mgsm", " Das sind 5.", 1.0),
        ("ifeval", "No commas here", 1.0),
        ("ifeval", "One, two", 0.0),
        ("natural-instructions", "hg", 1.0),
        ("natural-instructions", "gh", 0.0),
    ] {
        let (result, _) = score(&Written::of(name), vec![says(reply)]);
        assert_eq!(result.value, Some(right), "{name}: {reply}");
    }
}

/// Passes programs that hold a word.
struct Reader(&'static str, Vec<String>);

impl CodeRunner for Reader {
    fn run(&mut self, program: &str) -> Result<Verdict, Failure> {
        self.1.push(program.to_owned());
        Ok(Verdict { passed: program.contains(self.0), reason: "read".into() })
    }
}

#[test]
fn a_completion_and_a_whole_function_both_become_programs() {
    let mut reader = Reader("return 1", Vec::new());
    let (result, _) =
        score_with(&several("humaneval", 2), vec![says("    return 1\n"), says("    return 2\n")], Some(&mut reader));
    assert_eq!(result.value, Some(0.5));
    assert_eq!(
        reader.1[0],
        "def one() -> int:\n    \"\"\"One.\"\"\"\n    return 1\n\n\ndef check(candidate):\n    assert candidate() == 1\n\ncheck(one)\n"
    );
    let mut reader = Reader("return 2 * x", Vec::new());
    let fenced = "Here it is:\n```python\ndef double(x):\n    return 2 * x\n```\n";
    let (result, _) = score_with(&Written::of("mbpp"), vec![says(fenced)], Some(&mut reader));
    assert_eq!(result.value, Some(1.0));
    assert!(reader.1[0].ends_with("assert double(0) == 0\n"), "{}", reader.1[0]);
    // Nobody runs programs without a sandbox.
    let (result, items) = score(&Written::of("mbpp"), vec![says(fenced)]);
    assert_eq!((result.errors, items[0].score), (1, None));
}

/// Repeats what it is asked last.
struct Echo(Vec<String>);

impl Answerer for Echo {
    fn answer(
        &mut self,
        requests: &[Request],
        done: &mut dyn FnMut(usize, Result<Reply, Failure>),
    ) -> Result<(), Failure> {
        for (place, request) in requests.iter().enumerate() {
            let Request::Generate { context, .. } = request else { continue };
            self.0.push(context.shown());
            done(place, says(&format!("answer {}", self.0.len())));
        }
        Ok(())
    }
}

#[test]
fn later_turns_see_the_answers_to_earlier_ones() {
    let (written, mut echo) = (Written::of("mt-bench"), Echo(Vec::new()));
    let (_, items) = written.asked(true).evaluate(&mut echo, None, None, &mut |_, _| ()).unwrap();
    assert_eq!(echo.0[1], "[user]\nWrite a line.\n\n[assistant]\nanswer 1\n\n[user]\nNow a shorter one.");
    assert_eq!(items[0].answer, "answer 2");
    assert_eq!(items[0].details["earlier_answers"], serde_json::json!(["answer 1"]));
}

/// Remembers what it was asked and answers in turn.
struct Remembering {
    replies: Vec<Result<Reply, Failure>>,
    asked: Vec<Request>,
}

impl Answerer for Remembering {
    fn answer(
        &mut self,
        requests: &[Request],
        done: &mut dyn FnMut(usize, Result<Reply, Failure>),
    ) -> Result<(), Failure> {
        self.asked.extend_from_slice(requests);
        (0..requests.len()).for_each(|place| done(place, self.replies.remove(0)));
        Ok(())
    }
}

/// Trusts short answers.
struct Brevity;

impl Rater for Brevity {
    fn rate(&mut self, answers: &[(&Context, &str)]) -> Result<Vec<f64>, Failure> {
        assert!(answers.iter().all(|(context, _)| !context.shown().is_empty()));
        Ok(answers.iter().map(|(_, answer)| -(answer.len() as f64)).collect())
    }
}

#[test]
fn samples_vote_and_raters_choose() {
    let written = several("gsm8k", 2);
    let mut asked = written.asked(false);
    let sampling = Sampling { samples: 3, temperature: 0.7, top_p: 0.9 };
    asked.resolved.sampling = Some(sampling);
    // Five is right. The first item's vote is, though its shortest answer is not; of the second, one answer in three is right.
    let said = [
        "#### 6",
        "it is five, so\n#### 5",
        "two and three\n#### 5",
        "#### 5",
        "so and so\n#### 7",
        "as before\n#### 7",
    ];
    let replies = said.into_iter().map(says).collect();
    let mut model = Remembering { replies, asked: Vec::new() };
    let mut heard = 0;
    let (result, items) = asked.evaluate(&mut model, None, Some(&mut Brevity), &mut |ended, _| heard = ended).unwrap();
    assert_eq!((result.metric.as_str(), result.n, result.value, heard), ("maj@3", 2, Some(0.5), 6));
    let figure = |name: &str| result.secondary.iter().find(|figure| figure.metric == name).unwrap().value;
    assert!((figure("pass@1") - 0.5).abs() < 1e-12 && figure("pass@n") == 1.0);
    assert_eq!(figure("best_of_n"), 0.5);
    assert_eq!((items[0].extracted.as_str(), items[0].score), (Some("5"), Some(1.0)));
    assert_eq!(items[1].details["samples"][0]["answer"], "#### 5");
    // The draws of an item differ, and are those of the next item.
    let draw = |request: &Request| match request {
        Request::Generate { draw, .. } => *draw,
        Request::Choices { .. } | Request::Text { .. } => None,
    };
    let draws: Vec<Draw> = model.asked.iter().filter_map(draw).collect();
    assert_eq!(draws.len(), 6);
    assert!(draws[0] != draws[1] && draws[1] != draws[2] && draws[..3] == draws[3..]);
    assert_eq!((draws[0].temperature, draws[0].top_p), (0.7, 0.9));
}

#[test]
fn several_answers_mean_nothing_to_likelihoods() {
    let options = Options {
        sampling: Some(Sampling { samples: 3, temperature: 0.7, top_p: 1.0 }),
        hints: Some(3),
        ..Options::default()
    };
    let likelihoods = Written::of("arc-easy").task.resolve(&options, false).unwrap();
    assert_eq!((likelihoods.sampling, likelihoods.hints), (None, None));
    let programs = Written::of("humaneval").task.resolve(&options, false).unwrap();
    assert_eq!((programs.sampling, programs.hints), (options.sampling, None));
}

#[test]
fn hints_are_given_until_two_answers_agree() {
    let written = Written::of("gsm8k");
    let mut asked = written.asked(false);
    asked.resolved.hints = Some(4);
    let mut model = Remembering { replies: vec![says("#### 6"), says("#### 5"), says("#### 5")], asked: Vec::new() };
    let (result, items) = asked.evaluate(&mut model, None, None, &mut |_, _| ()).unwrap();
    assert_eq!((result.value, model.asked.len()), (Some(1.0), 3));
    let shown = |request: &Request| match request {
        Request::Generate { context, .. } => context.shown(),
        Request::Choices { .. } | Request::Text { .. } => String::new(),
    };
    let [first, second, third] = [0, 1, 2].map(|place| shown(&model.asked[place]));
    let question = first.strip_suffix("\nAnswer:").unwrap();
    assert_eq!(second, format!("{question} (Hint: The answer is near to 6).\nAnswer:"));
    assert_eq!(third, format!("{question} (Hint: The answer is near to 6, 5).\nAnswer:"));
    assert_eq!(
        (&items[0].details["asked"], items[0].details["earlier_answers"].as_array().unwrap().len()),
        (&json!(3), 2)
    );
}
