//! `camelid sandbox`: the binary is its own helper.
#![cfg(target_os = "linux")]

use std::process::Output;

use assert_cmd::Command;

fn sandbox(arguments: &[&str], program: &str) -> Output {
    let mut command = Command::cargo_bin("camelid").unwrap();
    command.arg("sandbox").args(arguments).write_stdin(program).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_program_passes_fails_or_is_stopped() {
    let passed = sandbox(&["-", "--best-effort"], "print(6 * 7)");
    assert_eq!((passed.status.code(), text(&passed.stdout).as_str()), (Some(0), "42\n"), "{}", text(&passed.stderr));
    let failed = sandbox(&["-", "--best-effort"], "raise SystemExit(5)");
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stderr).contains("sandbox: failed with exit code 5;"), "{}", text(&failed.stderr));
    let slow = sandbox(&["-", "--best-effort", "--seconds", "0.5"], "import time; time.sleep(9)");
    assert!(text(&slow.stderr).contains("timed out, stopped by the wall clock"), "{}", text(&slow.stderr));
    let network = sandbox(&["-", "--best-effort", "--json"], "import socket; socket.socket()");
    let outcome: serde_json::Value = serde_json::from_slice(&network.stdout).unwrap();
    assert_eq!(outcome["verdict"]["forbidden_call"]["call"], "socket", "{outcome}");
    assert_eq!(outcome["stopped_by"], "seccomp");
}

#[test]
fn the_check_names_every_layer() {
    let check = sandbox(&["--check"], "");
    let said = text(&check.stdout);
    for layer in camelid_sandbox::Layer::ALL {
        assert!(said.contains(layer.name()), "{layer}: {said}");
    }
    assert_eq!(check.status.success(), said.contains("all essential layers hold"));
}

#[test]
fn what_cannot_be_run_is_told_with_a_fix() {
    for (arguments, named) in [
        (&["nowhere.py"][..], "nowhere.py"),
        (&["-", "--seconds", "0"], "limit `wall`"),
        (&["-", "--memory", "1"], "limit `memory`"),
        (&["-", "--python", "/nowhere/python3"], "/nowhere/python3"),
    ] {
        let output = sandbox(arguments, "pass");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(named) && said.contains("\n  fix: "), "{said}");
    }
    assert_eq!(sandbox(&[], "").status.code(), Some(2));
}

#[test]
fn nothing_goes_on_when_the_command_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let tag = format!("python-killed-{}", std::process::id());
    let find = std::process::Command::new("python3").args(["-I", "-c", "import sys; print(sys.executable)"]).output();
    let real = std::fs::canonicalize(text(&find.unwrap().stdout).trim()).unwrap();
    std::os::unix::fs::symlink(real, folder.path().join(&tag)).unwrap();
    let program = folder.path().join("sleeper.py");
    std::fs::write(&program, "import time\ntime.sleep(300)\n").unwrap();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("camelid"))
        .args(["sandbox", "--best-effort", "--seconds", "300", "--python"])
        .args([folder.path().join(&tag), program])
        .spawn()
        .unwrap();
    let running = || {
        std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
            let line = text(&std::fs::read(process.path().join("cmdline")).unwrap_or_default());
            line.contains(&tag) && line.contains("program.py")
        })
    };
    let within = |wanted: bool| {
        (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            running() == wanted
        })
    };
    assert!(within(true), "the program did not start");
    command.kill().unwrap();
    command.wait().unwrap();
    assert!(within(false), "the program goes on");
}
