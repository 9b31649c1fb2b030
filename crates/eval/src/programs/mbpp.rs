//! MBPP: a small Python program from a sentence and three assertions.
//!
//! **Source.** Austin 2021 (arXiv 2108.07732), section 2.1 and figure 1. Tasks 11 to 510 are the test set, 1 to 10 are for
//! examples in the prompt.

use super::{ProblemError, parse, text, texts};

/// Where an answer ends; the prompt's examples end so too.
pub const STOP: &str = "[DONE]";
/// The tasks of the test set.
pub const TEST_TASKS: std::ops::RangeInclusive<u64> = 11..=510;
/// The tasks that the paper shows in its prompt.
pub const EXAMPLE_TASKS: [u64; 3] = [2, 3, 4];

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// 1 to 974.
    pub task_id: u64,
    /// What the program has to do, a sentence.
    pub text: String,
    /// A program that passes.
    pub code: String,
    /// Runs before the tests.
    pub test_setup_code: String,
    /// Assertions that the prompt shows.
    pub test_list: Vec<String>,
    /// Harder ones, which few problems have and scores leave out.
    pub challenge_test_list: Vec<String>,
}

impl Problem {
    /// Reads a row of the published file.
    pub fn parse(line: &str) -> Result<Self, ProblemError> {
        let row = parse(line)?;
        let task_id = row.get("task_id").and_then(serde_json::Value::as_u64);
        let what = || "is missing or not a number".to_owned();
        Ok(Self {
            task_id: task_id.ok_or_else(|| ProblemError { field: "task_id", what: what(), fix: super::FIX })?,
            text: text(&row, "text")?,
            code: text(&row, "code")?,
            test_setup_code: text(&row, "test_setup_code")?,
            test_list: texts(&row, "test_list")?,
            challenge_test_list: texts(&row, "challenge_test_list")?,
        })
    }

    /// The paper's prompt for this problem, after solved `examples`. An answer follows it, up to [`STOP`].
    pub fn prompt(&self, examples: &[Self]) -> String {
        let mut prompt = String::new();
        for example in examples {
            prompt += &example.question();
            prompt += &example.code;
            prompt += "\n[DONE]\n";
        }
        prompt + &self.question()
    }

    fn question(&self) -> String {
        format!(
            "You are an expert Python programmer, and here is your task: {} Your code should pass these tests:\n\n{}\n[BEGIN]\n",
            self.text.trim(),
            self.test_list.join("\n")
        )
    }

    /// The program that scores an answer: its code, then what tests need, then the tests.
    pub fn program(&self, code: &str) -> String {
        format!("{code}\n{}\n{}\n", self.test_setup_code, self.test_list.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(task_id: u64) -> Problem {
        let row = format!(
            r#"{{"task_id": {task_id}, "text": "Write a function to add one.", "code": "def inc(x): return x + 1",
            "test_setup_code": "y = 1", "test_list": ["assert inc(0) == y", "assert inc(2) == 3"], "challenge_test_list": []}}"#
        );
        Problem::parse(&row).unwrap()
    }

    #[test]
    fn code_setup_and_tests_make_the_program() {
        let program = problem(11).program("def inc(x): return 1");
        assert_eq!(program, "def inc(x): return 1\ny = 1\nassert inc(0) == y\nassert inc(2) == 3\n");
    }

    #[test]
    fn the_prompt_shows_the_tests_and_solved_examples() {
        let prompt = problem(11).prompt(&[problem(2)]);
        assert_eq!(prompt.matches("assert inc(2) == 3").count(), 2);
        assert!(prompt.contains("def inc(x): return x + 1\n[DONE]\nYou are") && prompt.ends_with("\n[BEGIN]\n"));
        assert!(Problem::parse(r#"{"task_id": "x"}"#).unwrap_err().to_string().contains("task_id"));
    }
}
