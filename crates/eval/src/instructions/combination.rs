//! What a response is made of.

const SEPARATOR: &str = "******";

/// The prompt first, whatever its case.
pub(super) fn repeats(text: &str, prompt: &str) -> bool {
    text.trim().to_lowercase().starts_with(&prompt.trim().to_lowercase())
}

/// Two different responses with six asterisks between; nothing may be empty but what is before the first and after the
/// last.
pub(super) fn is_two_responses(text: &str) -> bool {
    let parts: Vec<&str> = text.split(SEPARATOR).map(str::trim).collect();
    let inner = parts.get(1..parts.len() - 1).unwrap_or_default();
    let responses: Vec<&&str> = parts.iter().filter(|part| !part.is_empty()).collect();
    !inner.contains(&"") && matches!(responses[..], [first, second] if first != second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_and_only_two() {
        assert!(is_two_responses("one\n******\ntwo"));
        assert!(is_two_responses("****** one ****** two ******"));
        for text in ["one", "one ****** one", "one ****** ****** two", "a ****** b ****** c", "one ******"] {
            assert!(!is_two_responses(text), "{text}");
        }
    }

    #[test]
    fn the_prompt_comes_first() {
        assert!(repeats(" write a POEM. Roses are red.", "Write a poem."));
        assert!(!repeats("Sure! Write a poem.", "Write a poem."));
    }
}
