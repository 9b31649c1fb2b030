//! Benchmarks behind a server that fails: everything is counted and nothing is lost.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use support::digits;
use support::server::{Server, ended, said};

fn evaluate<'a>(server: &'a Server, concurrency: &'a str) -> [&'a str; 11] {
    let address = server.address.as_str();
    [
        "evaluate",
        "m",
        "--tasks",
        "digits.toml",
        "--data",
        ".",
        "--server",
        address,
        "--concurrency",
        concurrency,
        "--json",
    ]
}

/// Which of the items a request is about.
fn index(body: &str) -> usize {
    let digits = body.split("Say ").nth(1).unwrap();
    digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn failures_are_counted_by_kind_and_asked_again() {
    let workshop = digits(8);
    let (mended, busy) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
    let heard = Arc::clone(&mended);
    let refused = |message: &str| (400, json!({"error": {"message": message}}).to_string());
    let server = Server::new(move |body| match index(body) {
        number if heard.load(Ordering::SeqCst) => said(&number.to_string()),
        1 => refused("no such model"),
        2 => refused("maximum context length is 8 tokens"),
        3 => (200, "<html>".into()),
        4 => said(" "),
        5 => said("none that I know"),
        6 => ended("it may well be", "length"),
        7 if busy.fetch_add(1, Ordering::SeqCst) == 0 => (503, String::new()),
        number => said(&number.to_string()),
    });
    let output = workshop.run(&[&evaluate(&server, "2")[..], &["--price", "1000000,2000000"]].concat());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    // One token each of prompt and answer, of five answers.
    assert!(told.contains("1 attempts were repeated; 5 prompt and 5 answer tokens cost 15.0000"), "{told}");
    let result: Json = serde_json::from_slice(&output.stdout).unwrap();
    let task = &result["tasks"][0];
    let counts = ["n", "parsed", "empty", "truncated", "errors"].map(|name| task[name].as_u64().unwrap());
    assert_eq!(counts, [8, 2, 1, 1, 3], "{task}");
    // Two of five with an answer; all others wrong, or all right.
    assert_eq!((&task["value"], &task["bounds"]), (&json!(0.4), &json!([0.25, 1.0])));
    let items: Vec<Json> = workshop
        .read("evaluation/items/digits.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kind = |number: usize| items[number]["details"]["error"]["kind"].as_str().unwrap().to_owned();
    assert_eq!([kind(1), kind(2), kind(3)], ["invalid", "overflow", "server"]);
    // The busy one was asked twice.
    assert_eq!(server.count(), 9);

    mended.store(true, Ordering::SeqCst);
    let output = workshop.run(&evaluate(&server, "2"));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("5 replies of 8 were there already"), "{told}");
    assert_eq!(server.count(), 12);
    let result: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["tasks"][0]["errors"], &result["tasks"][0]["parsed"]), (&json!(0), &json!(5)));
}

#[test]
fn what_was_answered_before_a_kill_is_not_asked_again() {
    let workshop = digits(40);
    let slow = Arc::new(AtomicBool::new(true));
    let heard = Arc::clone(&slow);
    let server = Server::new(move |body| {
        if heard.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
        said(&index(body).to_string())
    });
    let mut child = workshop.command(&evaluate(&server, "1")).spawn().unwrap();
    let begun = Instant::now();
    let kept =
        || std::fs::read_to_string(workshop.path("evaluation/replies.jsonl")).unwrap_or_default().lines().count();
    while kept() < 5 {
        assert!(begun.elapsed() < Duration::from_mins(1), "nothing is kept");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (kept, asked) = (kept(), server.count());
    assert!(kept < 40, "the kill came too late to test anything");
    slow.store(false, Ordering::SeqCst);
    let output = workshop.run(&evaluate(&server, "4"));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let result: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["tasks"][0]["n"], &result["tasks"][0]["value"]), (&json!(40), &json!(1.0)));
    // A line that was cut is asked for once more.
    let again = server.count() - asked;
    assert!((40 - kept..=41 - kept).contains(&again), "{kept} kept, {again} asked again");
}
