//! How a response begins and ends.

/// The phrase last, whatever its case; quotes around all of it are passed over.
pub(super) fn ends_with(text: &str, phrase: &str) -> bool {
    text.trim().trim_matches('"').to_lowercase().ends_with(&phrase.trim().to_lowercase())
}

/// Double quotes around all of it.
pub(super) fn is_quotation(text: &str) -> bool {
    let text = text.trim();
    text.len() > 1 && text.starts_with('"') && text.ends_with('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        assert!(ends_with("So. \"Any other QUESTIONS?\" ", "Any other questions?"));
        assert!(!ends_with("Any other questions? No.", "Any other questions?"));
        assert!(is_quotation(" \"a\" ") && !is_quotation("\"") && !is_quotation("“a”") && !is_quotation("\"a"));
    }
}
