//! The tasks that come with the program.

use super::{Task, TaskError};

macro_rules! tasks {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../tasks/", $name, ".toml")))),*]
    };
}

/// In the order in which a list shows them.
const TASKS: &[(&str, &str)] = tasks![
    "mmlu",
    "arc-easy",
    "arc-challenge",
    "openbookqa",
    "boolq-closed",
    "truthfulqa-mc1",
    "truthfulqa-mc2",
    "ceval",
    "cmmlu",
    "boolq",
    "piqa",
    "siqa",
    "winogrande",
    "wsc",
    "rte",
    "cb",
    "anli",
    "copa",
    "hellaswag",
    "wic",
    "gsm8k",
    "mgsm",
    "math",
    "bbh",
    "bbh-cot",
    "humaneval",
    "mbpp",
    "ifeval",
    "natural-instructions",
    "mt-bench",
    "vicuna",
    "koala",
    "alpaca-eval",
    "wizardlm",
    "long-context",
    "books",
];

/// A task of the program by its name; `None` if there is none of that name.
pub fn builtin(name: &str) -> Option<Result<Task, TaskError>> {
    let (name, text) = TASKS.iter().find(|(known, _)| *known == name)?;
    Some(Task::parse(&format!("{name}.toml"), text))
}

/// The names of all of them.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    TASKS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_task_of_its_own_name_and_listed() {
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tasks"))
            .unwrap()
            .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".toml")?.to_owned()))
            .collect();
        let mut names: Vec<&str> = builtin_names().collect();
        files.sort();
        names.sort_unstable();
        assert_eq!(files, names);
        for name in names {
            let task = builtin(name).unwrap().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(task.name(), name);
        }
    }
}
