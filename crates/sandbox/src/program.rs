//! What is run.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A Python program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub(crate) source: String,
    pub(crate) marker: Option<String>,
}

impl Program {
    /// A program that passes if it ends with exit code 0.
    pub fn script(source: impl Into<String>) -> Self {
        Self { source: source.into(), marker: None }
    }

    /// A program that passes only if its last line was reached too.
    ///
    /// For code followed by its tests: code that calls `exit()` ends with exit code 0 before any test ran. A line that writes
    /// a word, drawn anew for each program, is put after the source; the word is taken out of the output again.
    pub fn tests(source: impl Into<String>) -> Self {
        let source: String = source.into();
        let draw = || RandomState::new().build_hasher().finish();
        let marker = format!("reached-the-end-{:016x}{:016x}", draw(), draw());
        let source = format!("{source}\n__import__('os').write(1, b'\\n{marker}\\n')\n");
        Self { source, marker: Some(marker) }
    }

    /// The source as it will run.
    pub fn source(&self) -> &str {
        &self.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_has_a_word_of_its_own() {
        let (one, other) = (Program::tests("pass"), Program::tests("pass"));
        assert_ne!(one.marker, other.marker);
        assert!(one.source().starts_with("pass\n__import__('os')"));
        assert_eq!(Program::script("pass").source(), "pass");
    }
}
