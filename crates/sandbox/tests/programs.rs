//! HumanEval and MBPP: right programs pass, wrong ones do not.
//!
//! The published problems are read from the folder that the variable `CAMELID_DATA` names: `humaneval/HumanEval.jsonl.gz` and
//! `mbpp/mbpp.jsonl.gz`. The small tests always run.
#![cfg(target_os = "linux")]

mod common;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::Instant;

use camelid_eval::aggregation::samples::mean_pass_at_k;
use camelid_eval::programs::{cut_at_stops, humaneval, mbpp, tally};
use camelid_sandbox::{Limits, Outcome, Program, Verdict, run_many};
use common::{sandbox, strictest};

fn run_all(programs: &[Program]) -> Vec<Outcome> {
    let limits = Limits::default().with_seconds(20.0);
    let outcomes = run_many(&sandbox(), programs, &limits, strictest(&sandbox()), None, &|_| {});
    outcomes.into_iter().map(Result::unwrap).collect()
}

fn rows(path: &str) -> Option<Vec<String>> {
    let Some(folder) = std::env::var_os("CAMELID_DATA").map(PathBuf::from) else {
        eprintln!("skipped: CAMELID_DATA does not name a folder with {path}");
        return None;
    };
    let file = std::fs::File::open(folder.join(path)).unwrap();
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    Some(lines.map(Result::unwrap).filter(|line| !line.trim().is_empty()).collect())
}

fn summing() -> humaneval::Problem {
    humaneval::Problem {
        task_id: "own/0".into(),
        prompt: "from typing import List\n\ndef total(numbers: List[int]) -> int:\n    \"\"\"The sum.\"\"\"\n".into(),
        entry_point: "total".into(),
        canonical_solution: "    return sum(numbers)\n".into(),
        test: "def check(candidate):\n    assert candidate([]) == 0\n    assert candidate([2, -5]) == -3\n".into(),
    }
}

#[test]
fn completions_are_told_apart() {
    let problem = summing();
    let completions = [
        ("    return sum(numbers)\n", Verdict::Passed),
        ("    return sum(map(abs, numbers))\n", Verdict::Failed { exit_code: 1 }),
        ("    return sum(numbers\n", Verdict::Failed { exit_code: 1 }),
        ("    while True: pass\n", Verdict::TimedOut),
        ("    import sys; sys.exit(0)\n", Verdict::EndedEarly),
        ("    return sum(numbers)\nimport os\nos._exit(0)\n", Verdict::EndedEarly),
        ("    return open('/etc/passwd').read()\n", Verdict::Failed { exit_code: 1 }),
    ];
    let programs: Vec<_> = completions.iter().map(|(body, _)| Program::tests(problem.program(body))).collect();
    let limits = Limits::default().with_seconds(3.0);
    let outcomes = run_many(&sandbox(), &programs, &limits, strictest(&sandbox()), None, &|_| {});
    for ((body, verdict), outcome) in completions.iter().zip(outcomes) {
        assert_eq!(outcome.unwrap().verdict, *verdict, "{body}");
    }
    let whole = problem.program_of_function("def total(xs: List[int]) -> int:\n    return sum(xs)\n");
    assert!(run_all(&[Program::tests(whole)])[0].passed());
}

#[test]
fn samples_become_pass_at_k() {
    let problem = summing();
    let bodies = [
        "    return sum(numbers)\n\nprint('more')",
        "    return 0\n",
        "    total = 0\n    for n in numbers:\n        total += n\n    return total\n",
        "    return None\n",
    ];
    let programs = bodies.map(|body| Program::tests(problem.program(cut_at_stops(body, &humaneval::STOPS))));
    let outcomes = run_all(&programs);
    assert_eq!(outcomes[0].stdout, "", "what follows the stop was not run");
    let samples = outcomes.iter().map(|outcome| (problem.task_id.as_str(), outcome.passed()));
    // A second problem, which no sample solves.
    let counts = tally(samples.chain([("own/1", outcomes[1].passed()), ("own/1", outcomes[3].passed())]));
    assert_eq!(counts, [("own/0", 4, 2), ("own/1", 2, 0)]);
    let counts: Vec<_> = counts.into_iter().map(|(_, all, right)| (all, right)).collect();
    assert!((mean_pass_at_k(&counts, 1).unwrap().value - 0.5 / 2.0).abs() < 1e-12);
    // 1 - C(2, 2)/C(4, 2) and 0
    assert!((mean_pass_at_k(&counts, 2).unwrap().value - 5.0 / 6.0 / 2.0).abs() < 1e-12);
}

#[test]
fn an_answer_to_mbpp_is_run_with_its_setup_and_tests() {
    let problem = mbpp::Problem {
        task_id: 11,
        text: "Write a function to reverse a list.".into(),
        code: "def turn(xs):\n    return xs[::-1]".into(),
        test_setup_code: "expected = [3, 2, 1]".into(),
        test_list: vec!["assert turn([1, 2, 3]) == expected".into(), "assert turn([]) == []".into()],
        challenge_test_list: Vec::new(),
    };
    let wrong = "def turn(xs):\n    return xs";
    let outcomes = run_all(&[&problem.code, wrong].map(|code| Program::tests(problem.program(code))));
    assert_eq!([outcomes[0].passed(), outcomes[1].passed()], [true, false]);
}

#[test]
fn all_canonical_solutions_of_humaneval_pass_and_none_without_them() {
    let Some(rows) = rows("humaneval/HumanEval.jsonl.gz") else { return };
    let problems: Vec<_> = rows.iter().map(|row| humaneval::Problem::parse(row).unwrap()).collect();
    assert_eq!(problems.len(), 164);
    let right = problems.iter().map(|problem| Program::tests(problem.program(&problem.canonical_solution)));
    let wrong = problems.iter().map(|problem| Program::tests(problem.program("    return None\n")));
    let started = Instant::now();
    let outcomes = run_all(&right.chain(wrong).collect::<Vec<_>>());
    println!("{} programs in {:.1} s", outcomes.len(), started.elapsed().as_secs_f64());
    let (right, wrong) = outcomes.split_at(164);
    for (problem, outcome) in problems.iter().zip(right) {
        assert!(outcome.passed() && outcome.refused.is_empty(), "{}: {outcome:?}", problem.task_id);
    }
    for (problem, outcome) in problems.iter().zip(wrong) {
        assert!(!outcome.passed(), "{}: {outcome:?}", problem.task_id);
    }
}

#[test]
fn the_programs_of_mbpp_pass_their_own_tests() {
    let Some(rows) = rows("mbpp/mbpp.jsonl.gz") else { return };
    let problems: Vec<_> = rows.iter().map(|row| mbpp::Problem::parse(row).unwrap()).collect();
    assert_eq!(problems.len(), 974);
    // The test set; all of it would take minutes.
    let problems: Vec<_> = problems.into_iter().filter(|problem| mbpp::TEST_TASKS.contains(&problem.task_id)).collect();
    let outcomes =
        run_all(&problems.iter().map(|problem| Program::tests(problem.program(&problem.code))).collect::<Vec<_>>());
    let failed: Vec<_> = problems.iter().zip(&outcomes).filter(|(_, outcome)| !outcome.passed()).collect();
    for (problem, outcome) in &failed {
        println!("{} {} {:?} {}", problem.task_id, outcome.verdict, outcome.refused, outcome.stderr);
    }
    assert_eq!(failed.len(), 0, "of {}", problems.len());
}
