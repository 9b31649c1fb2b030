//! HumanEval: the body of a Python function, from its signature and description.
//!
//! **Source.** Chen 2021 (arXiv 2107.03374), section 2.2; the program is put together as the authors' own evaluation does.

use super::{ProblemError, parse, text};

/// Where a completion ends (section 2.3 of the paper).
pub const STOPS: [&str; 5] = ["\nclass", "\ndef", "\n#", "\nif", "\nprint"];

/// Seconds that a program has in the authors' evaluation.
pub const SECONDS: f64 = 3.0;

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `HumanEval/0` to `HumanEval/163`.
    pub task_id: String,
    /// The beginning of the program, up to the function's description.
    pub prompt: String,
    /// The function's name.
    pub entry_point: String,
    /// A body that passes.
    pub canonical_solution: String,
    /// Defines `check`, which takes the function.
    pub test: String,
}

impl Problem {
    /// Reads a row of the published file.
    pub fn parse(line: &str) -> Result<Self, ProblemError> {
        let row = parse(line)?;
        Ok(Self {
            task_id: text(&row, "task_id")?,
            prompt: text(&row, "prompt")?,
            entry_point: text(&row, "entry_point")?,
            canonical_solution: text(&row, "canonical_solution")?,
            test: text(&row, "test")?,
        })
    }

    /// The program that scores a completion of the prompt.
    pub fn program(&self, completion: &str) -> String {
        self.checked(&format!("{}{completion}", self.prompt))
    }

    /// The program that scores an answer which holds the whole function, as chat models give it. The prompt's imports and
    /// helpers go before it.
    pub fn program_of_function(&self, code: &str) -> String {
        let signature = format!("def {}(", self.entry_point);
        let before = self.prompt.find(&signature).and_then(|at| self.prompt.get(..at)).unwrap_or_default();
        self.checked(&format!("{before}\n{code}"))
    }

    fn checked(&self, code: &str) -> String {
        format!("{code}\n{}\ncheck({})\n", self.test, self.entry_point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompt_completion_tests_and_the_call_make_the_program() {
        let row = r#"{"task_id": "T/0", "prompt": "import math\n\ndef one(x):\n", "entry_point": "one",
            "canonical_solution": "    return 1\n", "test": "def check(candidate):\n    assert candidate(0) == 1\n"}"#;
        let problem = Problem::parse(row).unwrap();
        let tests = "\ndef check(candidate):\n    assert candidate(0) == 1\n\ncheck(one)\n";
        assert_eq!(problem.program("    return 1"), format!("import math\n\ndef one(x):\n    return 1{tests}"));
        let whole = problem.program_of_function("def one(y):\n    return 1");
        assert_eq!(whole, format!("import math\n\n\ndef one(y):\n    return 1{tests}"));
        assert!(Problem::parse("{}").unwrap_err().to_string().contains("task_id"));
    }
}
