//! Expressions that answer a competition problem (MATH).
//!
//! **Ladder.** Strict: what the last `\boxed{}` or `\fbox{}` holds, braces balanced. Flexible: "final answer is" or
//! "answer is" with what follows, between dollars if it has some. Last resort: the last expression between dollars.
//!
//! **Comparison.** Two expressions are the same if they are after [`normalised`], which undoes differences of spelling:
//! spaces, `\left`, `\dfrac`, units in `\text{}`, degrees, percent and dollar signs, `\frac12`, `1/2` and `0.5`, `x =`
//! in front.
//!
//! **Source.** Hendrycks 2021 (arXiv 2103.03874) and the rules of its `math_equivalence`; Lewkowycz 2022 (arXiv
//! 2206.14858), appendix D, for "final answer is".

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::{Extracted, Rung, line_from, span_of};

static STATEMENT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)\banswer\b[*_]*\s*(?:is\b|:)[:*\s]*").expect("a valid pattern"));
static DOLLARS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\$?([^$]+)\$\$?").expect("a valid pattern"));

/// The expression that a response answers with, as written.
pub fn extract(text: &str) -> Option<Extracted<String>> {
    let found = |rung, part: &str| {
        let part = part.trim();
        (!part.is_empty()).then(|| Extracted::new(part.to_owned(), rung, span_of(text, part)))
    };
    let boxed = last_boxed(text).and_then(|span| found(Rung::Strict, &text[span]));
    let stated = || {
        let mark = STATEMENT.find_iter(text).last()?;
        let line = line_from(text, mark.end());
        let inside = DOLLARS.captures(line).and_then(|captures| captures.get(1)).map(|inside| inside.as_str());
        let sentence = || line.find(". ").map_or(line, |end| &line[..end]).trim_end().trim_end_matches('.');
        found(Rung::Flexible, inside.unwrap_or_else(sentence))
    };
    let last = || found(Rung::LastResort, DOLLARS.captures_iter(text).last()?.get(1)?.as_str());
    boxed.or_else(stated).or_else(last)
}

/// What the last box holds. `\boxed 5` holds the 5; a box that is never closed holds nothing.
pub(super) fn last_boxed(text: &str) -> Option<Range<usize>> {
    let (at, name) = ["\\boxed", "\\fbox"].into_iter().filter_map(|name| Some((text.rfind(name)?, name))).max()?;
    let start = at + name.len();
    let inside = text[start..].trim_start();
    let open = text.len() - inside.len();
    if let Some(first) = inside.chars().next().filter(|&first| first != '{') {
        let end = inside.find(|c: char| c == '$' || c.is_whitespace()).unwrap_or(inside.len());
        return (first.is_alphanumeric() || first == '-').then_some(open..open + end);
    }
    closing_brace(inside).map(|length| open + 1..open + length)
}

/// Where the brace that opens `text` is closed.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, symbol) in text.char_indices() {
        match symbol {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at),
            '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// Whether two expressions are the same but for spelling.
pub fn same(first: &str, second: &str) -> bool {
    normalised(first) == normalised(second)
}

static UNITS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\\(?:text|mbox)\{\s[^{}]*\}\s*$").expect("a valid pattern"));
static TEXT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\\(?:text|mbox|textbf|mathrm)\{([^{}]*)\}").expect("a valid pattern"));
static THOUSANDS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^-?\d{1,3}(?:,\d{3})+(?:\.\d+)?$").expect("a valid pattern"));
static QUOTIENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(-?)(\d+)/(-?\d+)$").expect("a valid pattern"));
static NAMED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[a-zA-Z]{1,2}=([^=]+)$").expect("a valid pattern"));
static POINT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(^|[^\d])\.(\d)").expect("a valid pattern"));
static ZEROS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(-?\d+)\.0+$").expect("a valid pattern"));

/// The one spelling of all that mean the same by the rules above.
pub fn normalised(expression: &str) -> String {
    let mut text = expression.trim().trim_end_matches('.').replace('\n', "");
    text = UNITS.replace(&text, "").into_owned();
    text = TEXT.replace_all(&text, "$1").into_owned();
    let spellings = [
        ("\\!", ""),
        ("\\,", ""),
        ("\\;", ""),
        ("\\ ", ""),
        ("\\\\", "\\"),
        ("tfrac", "frac"),
        ("dfrac", "frac"),
        ("\\left", ""),
        ("\\right", ""),
        ("^{\\circ}", ""),
        ("^\\circ", ""),
        ("\\$", ""),
        ("\\%", ""),
        ("%", ""),
        ("$", ""),
        ("\\{", "{"),
        ("\\}", "}"),
        ("\\cdot", "*"),
        ("−", "-"),
    ];
    for (from, to) in spellings {
        text = text.replace(from, to);
    }
    text.retain(|symbol| !symbol.is_whitespace());
    text = NAMED.replace(&text, "$1").into_owned();
    if THOUSANDS.is_match(&text) {
        text.retain(|symbol| symbol != ',');
    }
    text = POINT.replace_all(&text, "${1}0.$2").into_owned();
    text = ZEROS.replace(&text, "$1").into_owned();
    text = braced_arguments(&text, "\\sqrt", 1);
    text = braced_arguments(&text, "\\frac", 2);
    text = QUOTIENT.replace(&text, "$1\\frac{$2}{$3}").into_owned();
    if matches!(text.as_str(), "0.5" | "-0.5") { text.replace("0.5", "\\frac{1}{2}") } else { text }
}

/// `\frac12` and `\sqrt3` with the braces that LaTeX takes as given: an argument without braces is one symbol.
fn braced_arguments(text: &str, name: &str, arguments: usize) -> String {
    let mut parts = text.split(name);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        result.push_str(name);
        let mut rest = part;
        for _ in 0..arguments {
            let Some(first) = rest.chars().next() else { break };
            if first == '{' || first == '\\' || first == '[' {
                let length = closing_brace(rest).filter(|_| first == '{').map_or(rest.len(), |at| at + 1);
                result.push_str(&rest[..length]);
                rest = &rest[length..];
            } else {
                result.push('{');
                result.push(first);
                result.push('}');
                rest = &rest[first.len_utf8()..];
            }
        }
        result.push_str(rest);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder() {
        for (text, answer, rung) in [
            (r"so $\boxed{\frac{1}{2}}$ and no more", r"\frac{1}{2}", Rung::Strict),
            (r"\boxed{1} is wrong, it is \fbox{2}", "2", Rung::Strict),
            (r"thus $\boxed 7$.", "7", Rung::Strict),
            ("Final Answer: The final answer is $x^2$. I hope it is correct.", "x^2", Rung::Flexible),
            ("**Answer:** 3/4.", "3/4", Rung::Flexible),
            (r"\boxed{1 and the answer is $5$", "5", Rung::Flexible),
            ("we get $a = 2$ and then $b = 3$", "b = 3", Rung::LastResort),
        ] {
            let found = extract(text).unwrap();
            assert_eq!((found.answer.as_str(), found.rung), (answer, rung), "{text}");
            assert_eq!(&text[found.span], answer);
        }
        for text in ["", r"\boxed{", r"\boxed{}", r"\boxed", "no idea"] {
            assert_eq!(extract(text), None, "{text}");
        }
    }

    #[test]
    fn spellings() {
        for (first, second) in [
            (r"\dfrac{1}{2}", "1/2"),
            (r"\frac12", "0.5"),
            ("-.5", r"-\frac{1}{2}"),
            (r"\frac1{72}", r"\frac{1}{72}"),
            (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
            (r"\sqrt3", r"\sqrt{3}"),
            (r"90^\circ", "90"),
            (r"\$1{,}000", "1{,}000"),
            ("10,000", "10000"),
            (r"12\text{ cm}", "12"),
            (r"\text{(C)}", "(C)"),
            ("x = 5", "5"),
            (r"50\%", "50"),
            ("7.0", "7"),
        ] {
            assert!(same(first, second), "{first}: {}, {second}: {}", normalised(first), normalised(second));
        }
        for (first, second) in
            [("1,2", "12"), (r"\frac{1}{2}", r"\frac{2}{1}"), ("x=5", "y=6"), ("(1,2)", "(2,1)"), ("0.25", "0.5")]
        {
            assert!(!same(first, second), "{first} {second}");
        }
    }

    #[test]
    fn odd_braces_do_no_harm() {
        for text in [r"\frac", r"\frac{", r"\frac{1", r"\sqrt", r"\frac1", r"}}{{", r"\frac\pi2", "\\sqrt\u{e9}"] {
            normalised(text);
            extract(&format!("\\boxed{text}"));
        }
    }
}
