//! Programs in a response (HumanEval, MBPP).
//!
//! **Ladder.** Strict: the last closed block between fences that defines the function asked for. Flexible: the last
//! such block without it, or one that the response's end cut off. Last resort: unfenced, from the first line that
//! begins a definition or an import.

use super::{Extracted, Rung, span_of};

const FENCE: &str = "```";

/// The program that defines `function`, without its fences.
pub fn extract(text: &str, function: &str) -> Option<Extracted<String>> {
    let blocks = blocks(text);
    let defines = |code: &str| definitions(code).any(|name| name == function);
    let strict = blocks.iter().rev().find(|(code, closed)| *closed && defines(code));
    if let Some((code, _)) = strict {
        return Some(Extracted::new((*code).to_owned(), Rung::Strict, span_of(text, code)));
    }
    let written = |(code, _): &&(&str, bool)| !code.trim().is_empty();
    let named = || blocks.iter().rev().find(|(code, _)| defines(code));
    if let Some((code, _)) = named().or_else(|| blocks.iter().rev().find(written)) {
        return Some(Extracted::new((*code).to_owned(), Rung::Flexible, span_of(text, code)));
    }
    let start = text
        .split_inclusive('\n')
        .find(|line| ["def ", "class ", "import ", "from ", "@"].iter().any(|word| line.starts_with(word)))?;
    let code = &text[span_of(text, start).start..];
    definitions(code).next().map(|_| Extracted::new(code.to_owned(), Rung::LastResort, span_of(text, code)))
}

/// The names of functions that lines of a program define.
fn definitions(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter_map(|line| {
        let line = line.trim_start();
        let name = line.strip_prefix("async ").unwrap_or(line).trim_start().strip_prefix("def ")?;
        Some(name.split_once('(')?.0.trim())
    })
}

/// What stands between fences, and whether the second fence is there. A fence begins a line; what follows it names a
/// language.
fn blocks(text: &str) -> Vec<(&str, bool)> {
    let mut blocks = Vec::new();
    let mut open: Option<usize> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with(FENCE) {
            match open.take() {
                Some(start) => blocks.push((&text[start..at], true)),
                None => open = Some(at + line.len()),
            }
        }
        at += line.len();
    }
    blocks.extend(open.map(|start| (&text[start..], false)));
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder() {
        for (text, code, rung) in [
            (
                "Sure:\n```python\ndef f(x):\n    return x\n```\nand a test:\n```python\nassert f(1) == 1\n```",
                "def f(x):\n    return x\n",
                Rung::Strict,
            ),
            (
                "```\ndef f(x):\n    pass\n```\nBetter:\n```py\ndef f(x):\n    return x\n```",
                "def f(x):\n    return x\n",
                Rung::Strict,
            ),
            ("```python\nreturn x\n```", "return x\n", Rung::Flexible),
            ("```python\ndef f(x):\n    return", "def f(x):\n    return", Rung::Flexible),
            ("Here:\nimport os\n\ndef f(x):\n    return x", "import os\n\ndef f(x):\n    return x", Rung::LastResort),
        ] {
            let found = extract(text, "f").unwrap();
            assert_eq!((found.answer.as_str(), found.rung), (code, rung));
            assert_eq!(&text[found.span], code);
        }
        for text in ["", "no code", "```\n```", "``` ```", "import this is not code"] {
            assert_eq!(extract(text, "f"), None, "{text}");
        }
    }

    #[test]
    fn a_longer_name_is_another_function() {
        let found = extract("```\ndef f_helper(x):\n    pass\n```", "f").unwrap();
        assert_eq!(found.rung, Rung::Flexible);
    }
}
