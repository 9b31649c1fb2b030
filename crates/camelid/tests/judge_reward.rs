//! Answers rated by a language model behind a server or in the same process, as a user runs it, on a tiny model.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};
use support::Workshop;

/// What the stub says: the text, and what else it could have said first, with probabilities.
type Said = (String, Vec<(String, f64)>);

/// A server that rates by a rule, on an address of its own.
struct Stub {
    address: String,
    /// Requests it answered, failures included.
    asked: Arc<AtomicUsize>,
}

impl Stub {
    /// Each question is refused so many times before it is answered.
    fn start(failures: usize, rule: impl Fn(&str) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let (counter, rule, refused) = (Arc::clone(&asked), Arc::new(rule), Arc::new(Mutex::new(BTreeMap::new())));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (counter, rule, refused) = (Arc::clone(&counter), Arc::clone(&rule), Arc::clone(&refused));
                std::thread::spawn(move || {
                    while let Some(question) = question(&stream) {
                        counter.fetch_add(1, Ordering::Relaxed);
                        let before = {
                            let mut refused = refused.lock().unwrap();
                            let count: &mut usize = refused.entry(question.clone()).or_default();
                            *count += 1;
                            *count - 1
                        };
                        if before < failures {
                            reply(&stream, "503 Service Unavailable", "{\"error\": \"busy\"}");
                        } else {
                            reply(&stream, "200 OK", &answer(rule(&question)).to_string());
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// The message of the next request on a connection; nothing when it is closed.
fn question(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Json = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&body["temperature"], &body["logprobs"], &body["top_logprobs"]),
        (&json!(0.0), &json!(true), &json!(20))
    );
    assert_eq!(body["model"], "stub");
    Some(body["messages"][0]["content"].as_str().unwrap().to_owned())
}

fn reply(mut stream: &TcpStream, status: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nretry-after: 0\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all((head + body).as_bytes());
}

fn answer((text, first): Said) -> Json {
    let top: Vec<Json> = first.iter().map(|(token, p)| json!({"token": token, "logprob": p.ln()})).collect();
    let logprobs = if top.is_empty() {
        Json::Null
    } else {
        json!({"content": [{"token": text, "logprob": -0.1, "top_logprobs": top}]})
    };
    json!({"model": "stub", "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": text}, "logprobs": logprobs}]})
}

/// The rating that the stub gives an answer.
fn digit(answer: &str) -> usize {
    1 + answer.chars().filter(char::is_ascii_alphanumeric).count() % 9
}

/// What stands in the brackets of [`WORDING`].
fn judged(question: &str) -> &str {
    question.split_once('[').unwrap().1.strip_suffix("]1-9").unwrap()
}

const WORDING: &str = "{prompt}[{answer}]{low}-{high}";

fn workshop() -> Workshop {
    let workshop = Workshop::new();
    let rows: String = (0..4).map(|i| json!({"prompt": format!("Say {i}: ")}).to_string() + "\n").collect();
    workshop.write("prompts.jsonl", rows);
    workshop
}

fn recipe(kind: &str, lines: &str) -> String {
    format!(
        "name = \"tiny\"\nmodel = \"model\"\ncompute = \"f32\"\nthreads = 1\n\n[[stage]]\nkind = \"{kind}\"\n\
         data = \"prompts.jsonl\"\nmax_length = 64\nanswer_tokens = 12\n{lines}"
    )
}

fn by_server(address: &str, more: &str) -> String {
    format!("reward = {{ judge = {{ server = \"{address}\", model = \"stub\", prompt = \"{WORDING}\"{more} }} }}\n")
}

fn lines(workshop: &Workshop, name: &str) -> Vec<Json> {
    workshop.read(&format!("runs/tiny/{name}")).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn reward(rating: f64) -> f64 {
    2.0 * (rating - 1.0) / 8.0 - 1.0
}

/// Three in four for the digit of [`digit`], the rest for the next.
fn sure(question: &str) -> Said {
    let digit = digit(judged(question));
    (digit.to_string(), vec![(digit.to_string(), 0.75), (format!(" {}", digit % 9 + 1), 0.25)])
}

fn expected(text: &str) -> f64 {
    let digit = digit(text);
    reward(0.75 * digit as f64 + 0.25 * (digit % 9 + 1) as f64)
}

/// Every question is refused twice, and none is asked again once it is answered.
#[test]
fn an_answer_is_worth_the_rating_that_is_expected() {
    let workshop = workshop();
    let stub = Stub::start(2, sure);
    workshop.write("recipe.toml", recipe("best-of-n", &format!("samples = 6\n{}", by_server(&stub.address, ""))));
    workshop.succeed(&["run", "recipe.toml"]);
    let answers = lines(&workshop, "answers.jsonl");
    assert_eq!(answers.len(), 24);
    let mut different: Vec<String> = Vec::new();
    for answer in &answers {
        let (given, by_hand) = (answer["reward"].as_f64().unwrap(), expected(answer["text"].as_str().unwrap()));
        assert!((given - by_hand).abs() < 1e-6, "{given} against {by_hand}: {answer}");
        different.push(by_hand.to_string());
    }
    different.sort();
    different.dedup();
    assert!(different.len() > 3, "{different:?}");
    assert!(stub.asked() > 3 * 12 && stub.asked() <= 3 * 24, "{}", stub.asked());

    // What was drawn is lost, what was judged is not.
    let before = stub.asked();
    for name in ["answers.jsonl", "finished.json"] {
        std::fs::remove_file(workshop.path(&format!("runs/tiny/{name}"))).unwrap();
    }
    workshop.succeed(&["run", "recipe.toml"]);
    assert_eq!((lines(&workshop, "answers.jsonl"), stub.asked()), (answers, before));
    workshop.succeed(&["run", "recipe.toml", "--restart"]);
    assert!(stub.asked() > before, "a restart asks again");
}

/// What cannot be read is counted, given the mean of the prompt's other answers, and refused where it is too often.
#[test]
fn ratings_that_cannot_be_read_are_counted() {
    let workshop = workshop();
    let says = |question: &str| match digit(judged(question)) {
        1..=3 => ("I cannot say.".to_owned(), Vec::new()),
        digit => (format!("Rating: {digit}/9"), Vec::new()),
    };
    let stub = Stub::start(0, says);
    let lines_of = |more: &str| format!("samples = 8\n{}", by_server(&stub.address, more));
    workshop.write("recipe.toml", recipe("best-of-n", &lines_of(", max_unparsed = 1")));
    workshop.succeed(&["run", "recipe.toml"]);
    let answers = lines(&workshop, "answers.jsonl");
    let (mut unread, mut read) = (0, 0);
    for group in answers.chunk_by(|a, b| a["prompt"] == b["prompt"]) {
        let ratings: Vec<f64> = group
            .iter()
            .map(|answer| digit(answer["text"].as_str().unwrap()))
            .filter(|digit| *digit > 3)
            .map(|digit| digit as f64)
            .collect();
        assert!(!ratings.is_empty(), "a test that needs readable ratings of each prompt");
        let mean = ratings.iter().sum::<f64>() / ratings.len() as f64;
        for answer in group {
            let digit = digit(answer["text"].as_str().unwrap());
            let by_hand = if digit > 3 { digit as f64 } else { mean };
            assert!((answer["reward"].as_f64().unwrap() - reward(by_hand)).abs() < 1e-9, "{answer}");
            if digit > 3 { read += 1 } else { unread += 1 }
        }
    }
    assert!(read > 0 && unread > 0, "{read} {unread}");

    workshop.write("recipe.toml", recipe("best-of-n", &lines_of("")));
    let refused = workshop.fail(&["run", "recipe.toml", "--restart"]);
    for part in
        ["ratings cannot be read, `max_unparsed` allows 10.0 %", "the judge said \"I cannot say.\"", "\n  fix: "]
    {
        assert!(refused.contains(part), "{part} is not in {refused}");
    }

    let tuning = "validation_share = 0.25\nbatch_size = 3\nepochs = 2\nlearning_rate = 1e-2\nlora = { rank = 4 }\n";
    let text = recipe("group", &format!("{tuning}{}", lines_of(", max_unparsed = 0.9")));
    workshop.write("recipe.toml", text);
    workshop.succeed(&["run", "recipe.toml", "--restart"]);
    let steps: Vec<Json> =
        lines(&workshop, "metrics.jsonl").into_iter().filter(|line| line["reward"].is_number()).collect();
    assert_eq!(steps.len(), 2);
    let share = |step: &Json| step["rewards/judge/unparsed"].as_f64().unwrap();
    assert!(steps.iter().all(|step| (0.0..=0.9).contains(&share(step))) && steps.iter().any(|step| share(step) > 0.0));
    for step in &steps {
        assert_eq!(step["rewards/judge/mean"], step["reward"], "{step}");
    }
}

/// A judge that was taught to say digits rates alike in this process and behind a server.
#[test]
fn a_model_judges_here_as_behind_a_server() {
    let workshop = workshop();
    let rows: String = (0..12)
        .map(|i| {
            let turns = json!([{"role": "user", "content": format!("Say {i}: [abc{i}]1-9")},
                {"role": "assistant", "content": (3 + i % 5).to_string()}]);
            json!({ "messages": turns }).to_string() + "\n"
        })
        .collect();
    workshop.write("ratings.jsonl", rows);
    let teach = "name = \"judge\"\nmodel = \"model\"\ncompute = \"f32\"\nthreads = 1\n\n[[stage]]\nkind = \"sft\"\n\
                 data = \"ratings.jsonl\"\nvalidation_share = 0\nmax_length = 96\nbatch_size = 6\nepochs = 40\n\
                 learning_rate = 1e-2\ntune = \"full\"\n";
    workshop.write("judge.toml", teach);
    workshop.succeed(&["run", "judge.toml"]);
    let rewards = |who: &str| -> Vec<f64> {
        let reward = format!("reward = {{ judge = {{ {who}, prompt = \"{WORDING}\" }} }}\n");
        workshop.write("recipe.toml", recipe("best-of-n", &format!("samples = 6\n{reward}")));
        workshop.succeed(&["run", "recipe.toml", "--restart"]);
        lines(&workshop, "answers.jsonl").iter().map(|answer| answer["reward"].as_f64().unwrap()).collect()
    };
    let here = rewards("model = \"runs/judge\"");
    let mut server = workshop.spawn(&["serve", "runs/judge", "--port", "0", "--compute", "f32"]);
    let address = server.wait_for("answers on ");
    let there = rewards(&format!("server = \"{}\"", address.split("/v1").next().unwrap()));
    server.terminate();
    assert_eq!(here.len(), there.len());
    for (here, there) in here.iter().zip(&there) {
        assert!((here - there).abs() < 1e-4, "{here} against {there}");
        // A number that was written would give a multiple of a quarter; an expectation lies between.
        assert!((-1.0..1.0).contains(here));
    }
    assert!(here.iter().any(|reward| (reward * 4.0 - (reward * 4.0).round()).abs() > 1e-3), "{here:?}");
}

#[test]
fn the_plan_shows_who_judges_and_how() {
    let workshop = workshop();
    workshop.write("recipe.toml", recipe("group", "reward = { judge = { server = \"http://127.0.0.1:1\" } }\n"));
    let plan = workshop.succeed(&["plan", "recipe.toml"]);
    for line in ["server = \"http://127.0.0.1:1\"", "attempts = 6", "max_unparsed = 0.1", "{answer}"] {
        assert!(plan.contains(line), "{line} is not in {plan}");
    }
    let scale = plan.split_once("scale = [").unwrap().1.split_once(']').unwrap().0;
    assert_eq!(scale.split(',').filter_map(|part| part.trim().parse::<u8>().ok()).collect::<Vec<_>>(), [1, 9]);
}

#[test]
fn judges_that_cannot_be_are_refused() {
    let workshop = workshop();
    let refused = |judge: &str, expected: &str| {
        workshop.write("recipe.toml", recipe("group", &format!("reward = {{ judge = {{ {judge} }} }}\n")));
        let message = workshop.fail(&["run", "recipe.toml"]);
        assert!(message.contains(expected) && message.contains("\n  fix: "), "{expected} is not in {message}");
    };
    let server = "server = \"http://127.0.0.1:1\"";
    refused("scale = [1, 5]", "`judge` names no judge");
    refused("server = \"localhost\"", "which is no address");
    refused("model = \"model\", attempts = 2", "`judge.attempts` is read with `server` only");
    refused(&format!("{server}, prompt = \"Rate {{prompt}}\""), "has no {answer} in it");
    refused(&format!("{server}, scale = [1, 10]"), "`judge.scale` is from 1 to 10");
    refused(&format!("{server}, scale = [5, 5]"), "`judge.scale` is from 5 to 5");
    refused(&format!("{server}, max_unparsed = 2"), "`judge.max_unparsed` is 2");
    refused(&format!("{server}, attempts = 0"), "is 0");
    refused(&format!("{server}, rating = 3"), "rating");
    refused(&format!("{server}, key_variable = \"NO_SUCH_KEY_HERE\""), "NO_SUCH_KEY_HERE is not set");
    refused("model = \"./nothing\"", "./nothing");
    // Nobody listens there, and once is enough.
    refused(&format!("{server}, attempts = 1"), "the judge says nothing of an answer to record");
}
