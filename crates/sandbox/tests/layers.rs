//! What the layers report, with each of them and without.
#![cfg(target_os = "linux")]

mod common;

use camelid_sandbox::{Layer, Limits, Program, SandboxError, Strictness, Verdict};
use common::{sandbox, strictest};

#[test]
fn a_program_runs_and_every_outcome_names_its_layers() {
    let program = Program::script("import json, math, random, re\nprint(math.comb(5, 2))");
    let outcome = sandbox().run(&program, &Limits::default(), Strictness::BestEffort).unwrap();
    assert_eq!(outcome.verdict, Verdict::Passed, "{outcome:?}");
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("10\n", ""));
    assert_eq!(outcome.layers.len(), Layer::ALL.len(), "{:?}", outcome.layers);
    for report in &outcome.layers {
        println!("{:<18} {:?}", report.layer, report.state);
    }
}

#[test]
fn strict_refuses_without_an_essential_layer_and_names_it() {
    for layer in Layer::ALL.into_iter().filter(|&layer| layer.is_essential()) {
        if matches!(layer, Layer::CleanProcess | Layer::WallClock | Layer::OutputLimit) {
            // Nothing can take these away.
            continue;
        }
        let without = sandbox().without(layer);
        let program = Program::script("print('ran')");
        let error = without.run(&program, &Limits::default(), Strictness::Strict).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, SandboxError::Missing(_)), "{text}");
        assert!(text.contains(&format!("    {layer}: switched off")) && text.contains("\n  fix: "), "{text}");
    }
}

#[test]
fn best_effort_names_what_is_missing_but_never_runs_beside_open_files() {
    let program = Program::script("print('ran')");
    let without = sandbox().without(Layer::Landlock);
    let outcome = without.run(&program, &Limits::default(), Strictness::BestEffort).unwrap();
    assert!(outcome.passed());
    assert!(outcome.missing().any(|report| report.layer == Layer::Landlock));
    if strictest(&sandbox()) == Strictness::Strict {
        assert_eq!(outcome.missing().count(), 1);
    }
    let bare = without.without(Layer::PrivateRoot);
    let error = bare.run(&program, &Limits::default(), Strictness::BestEffort).unwrap_err();
    assert!(matches!(error, SandboxError::Bare(_)), "{error}");
}

#[test]
fn everything_but_landlock_and_seccomp_may_be_missing() {
    // As in a container that forbids namespaces: files, signals and processes are then up to these two.
    let mut sandbox = sandbox();
    let spaces =
        [Layer::UserNamespace, Layer::PrivateRoot, Layer::PidNamespace, Layer::NetworkNamespace, Layer::IpcNamespace];
    for layer in spaces {
        sandbox = sandbox.without(layer);
    }
    let source = "import fcntl, os, resource
attempts = [
    lambda: open('/etc/passwd'), os.fork, lambda: os.kill(os.getppid(), 0), lambda: os.chmod('program.py', 0),
    lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1)),
    lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
    lambda: fcntl.fcntl(1, fcntl.F_SETOWN, os.getppid()),
]
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
for attempt in attempts:
    try:
        attempt()
        print('allowed')
    except OSError:
        print('refused')
import threading
threading.Thread(target=print, args=('thread',)).start()
open('own', 'w').write('x')";
    let outcome = sandbox.run(&Program::script(source), &Limits::default(), Strictness::BestEffort).unwrap();
    assert_eq!(outcome.stdout, "refused\n".repeat(7) + "thread\n", "{outcome:?}");
    assert!(outcome.passed());
}

#[test]
fn a_limit_that_is_passed_gives_its_verdict() {
    let limits = Limits { output: 1000, ..Limits::default().with_seconds(1.0) };
    let strictness = strictest(&sandbox());
    let run = |source: &str| sandbox().run(&Program::script(source), &limits, strictness).unwrap();
    assert_eq!(run("import time; time.sleep(9)").stopped_by, Some(Layer::WallClock));
    let exact = run("print('x' * 999)");
    assert_eq!((exact.verdict, exact.stdout.len()), (Verdict::Passed, 1000));
    assert_eq!(run("print('x' * 1000)").verdict, Verdict::OutputLimit);
    assert_eq!(run("raise SystemExit(3)").verdict, Verdict::Failed { exit_code: 3 });
    assert_eq!(run("import ctypes; ctypes.string_at(0)").verdict, Verdict::Killed { signal: 11 });
}

#[test]
fn code_that_ends_before_its_tests_has_not_passed() {
    let strictness = strictest(&sandbox());
    let run = |source: &str| sandbox().run(&Program::tests(source), &Limits::default(), strictness).unwrap();
    assert_eq!(run("raise SystemExit\nassert False").verdict, Verdict::EndedEarly);
    assert_eq!(run("import os; os._exit(0)").verdict, Verdict::EndedEarly);
    let passed = run("print('said')\nassert True");
    assert_eq!((passed.verdict, passed.stdout.as_str()), (Verdict::Passed, "said\n"));
}

#[test]
fn a_library_that_is_not_its_own_helper_says_so() {
    let own = camelid_sandbox::Sandbox::new().unwrap();
    let error = own.run(&Program::script("pass"), &Limits::default(), Strictness::Strict).unwrap_err();
    assert!(matches!(error, SandboxError::NotEntered), "{error}");
    let other = own.with_helper("/bin/true").run(&Program::script("pass"), &Limits::default(), Strictness::Strict);
    assert!(matches!(other, Err(SandboxError::Setup { .. } | SandboxError::Io { .. })), "{other:?}");
}
