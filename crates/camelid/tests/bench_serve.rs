//! `bench serve` as a user runs it, on a tiny model.

mod support;

use serde_json::Value as Json;
use support::Workshop;

const SMALL: [&str; 6] = ["--compute", "f32", "--context", "256", "--clients", "6"];
const SHORT: [&str; 4] = ["--words", "10", "--tokens", "12"];

fn bench(more: &[&str]) -> Vec<String> {
    ["bench", "serve"].into_iter().chain(SMALL).chain(more.iter().copied()).map(str::to_owned).collect()
}

/// Exit code and what was printed as JSON.
fn run(workshop: &Workshop, more: &[&str]) -> (Option<i32>, Json) {
    let arguments = bench(more);
    let output = workshop.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    (output.status.code(), report)
}

fn check<'a>(report: &'a Json, name: &str) -> &'a Json {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"].as_str().unwrap().contains(name)).unwrap()
}

#[test]
fn a_server_answers_what_the_engine_answers() {
    let workshop = Workshop::new();
    let (_, report) =
        run(&workshop, &[&["model", "--compare", "--rounds", "1", "--requests", "20", "--json"], &SHORT[..]].concat());
    assert_eq!(check(&report, "those of the engine")["holds"], true, "{report}");
    assert_eq!(check(&report, "answered completely")["holds"], true, "{report}");
    let figures = &report["figures"];
    assert_eq!((figures["answered"].as_u64(), figures["tokens"].as_u64()), (Some(20), Some(240)));
    let streamed = figures["streamed"].as_u64().unwrap();
    assert!(streamed > 0 && streamed < 20, "{streamed}");
    let p50 = figures["latency"]["p50"].as_f64().unwrap();
    assert!(p50 > 0.0 && figures["latency"]["p99"].as_f64().unwrap() >= p50);
    let compared = &report["compared"];
    let ratio = compared["server"][0].as_f64().unwrap() / compared["offline"][0].as_f64().unwrap();
    assert_eq!(compared["share"].as_f64().unwrap(), ratio);
}

#[test]
fn a_full_queue_is_counted_and_asked_again() {
    let workshop = Workshop::new();
    let more =
        ["model", "--requests", "12", "--queue", "1", "--batch", "1", "--words", "10", "--tokens", "60", "--json"];
    let (code, report) = run(&workshop, &more);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["figures"]["answered"], 12, "{report}");
    assert!(report["figures"]["refused"].as_u64().unwrap() > 0, "{report}");
}

/// Every kind of misbehaviour, against another process that asks for a key.
#[test]
fn a_soak_ends_with_a_verdict() {
    let workshop = Workshop::new();
    let engine = ["--queue", "8", "--batch", "4"];
    let serve = ["serve", "model", "--port", "0", "--compute", "f32", "--api-key", "secret"];
    let mut server = workshop.spawn(&[&serve[..], &engine].concat());
    let address = server.wait_for("answers on ");
    let url = address.split(' ').next().unwrap();
    let errors = workshop.fail(&["bench", "serve", "--url", url]);
    assert!(errors.contains("answers 401") && errors.contains("its key"), "{errors}");

    let soak = ["--url", url, "--api-key", "secret", "--soak", "0.2", "--json"];
    let (code, report) = run(&workshop, &[&soak[..], &engine, &SHORT].concat());
    assert_eq!((code, &report["passed"]), (Some(0), &Json::Bool(true)), "{report:#}");
    let done = report["misdeeds"]["done"].as_object().unwrap();
    assert!(done.len() >= 10, "{done:?}");
    assert_eq!(check(&report, "holds no rows")["holds"], true);
    assert_eq!(check(&report, "memory")["holds"], Json::Null, "the memory of another process is not looked at");

    workshop.write("prompts.jsonl", "{\"prompt\": \"Say\"}\n");
    let generate = ["generate", "model", "prompts.jsonl", "--max-tokens", "4", "--server", url, "--out"];
    let mut command = workshop.command(&[&generate[..], &["with.jsonl"]].concat());
    assert!(command.env("OPENAI_API_KEY", "secret").status().unwrap().success(), "the key is read");
    let mut command = workshop.command(&[&generate[..], &["without.jsonl"]].concat());
    assert!(!command.env_remove("OPENAI_API_KEY").status().unwrap().success());
    assert!(server.terminate().contains("every accepted request is answered"));
}

#[test]
fn failures_are_an_exit_code() {
    let workshop = Workshop::new();
    let (code, report) = run(&workshop, &["model", "--words", "400", "--requests", "8", "--json"]);
    assert_eq!((code, &report["passed"]), (Some(1), &Json::Bool(false)), "{report:#}");
    assert!(report["figures"]["errors"]["status 400"][0].as_u64().unwrap() > 0, "{report:#}");
    for (more, said) in [
        (vec!["--url", "http://127.0.0.1:9/v1"], "fix: start the server"),
        (vec!["--url", "nowhere"], "is no address"),
        (vec!["model", "--soak=-1"], "--soak is not above 0"),
        (vec!["model", "--stream-share", "2"], "--stream-share is no share"),
    ] {
        let arguments = bench(&more);
        let errors = workshop.fail(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(errors.contains(said) && errors.contains("\n  fix: "), "{errors}");
    }
}
