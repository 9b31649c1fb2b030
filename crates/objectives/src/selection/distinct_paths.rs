//! Rejection-sampling fine-tuning: the right solutions that differ in how they calculate.
//!
//! **What it optimises.** The likelihood of the model's own right solutions, one for each way of calculating; what it gains
//! grows with the number of distinct ways and not with that of the samples.
//!
//! **When to use it.** On problems with a final answer and equations in the text, after the answers have been checked; the
//! result is added to the original data. Weaker models gain more.
//!
//! **Formula.** A solution is dropped if one of its equations does not hold within 1e-3. Two are the same path if their lists
//! of equations are, spaces aside; of the same, the one stays whose edit distances to the paths of other lists kept so far
//! add up to the most.
//!
//! **Source.** Yuan 2023 (arXiv 2308.01825), section 3.3, and `collect_rejection_sampling.py` of its code, which looks at
//! `<<48/2=24>>` only. Where a solution has no such marks, equations in plain text count here.
//!
//! **Reference numbers.** 100 samples a problem at temperature 0.7. GSM8K, against SFT: Llama 7B 35.9 → 41.7, 13B 43.0 → 49.1;
//! with the paths of several models up to 13B, 49.3 and 52.1.

use super::arithmetic::{Percent, evaluate};

/// One equation of a solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equation {
    /// Without spaces.
    pub text: String,
    pub holds: bool,
}

/// Both sides may differ by this: solutions round.
const TOLERANCE: f64 = 1e-3;

/// The equations of a solution in their order: those in `<<…>>`, or if there is no such mark those in the plain text, which
/// calculate something on the left side (`3 + 4 = 7`, not `x = 7`).
pub fn equations(solution: &str) -> Vec<Equation> {
    if solution.contains("<<") {
        let marked = solution.split("<<").skip(1).filter_map(|rest| rest.split_once(">>"));
        let equation =
            |(text, _): (&str, &str)| Equation { text: without_spaces(text), holds: holds(text) == Some(true) };
        return marked.map(equation).collect();
    }
    plain(solution)
        .into_iter()
        .filter_map(|text| Some(Equation { holds: holds(&text)?, text: without_spaces(&text) }))
        .collect()
}

fn without_spaces(text: &str) -> String {
    text.chars().filter(|symbol| !symbol.is_whitespace()).collect()
}

/// Whether all sides have the same value; `None` if one has no value or there is but one.
fn holds(text: &str) -> Option<bool> {
    let value = |percent| -> Option<Vec<f64>> { text.split('=').map(|side| evaluate(side, percent)).collect() };
    let same = |percent| {
        let values = value(percent)?;
        (values.len() > 1).then(|| values.windows(2).all(|pair| (pair[0] - pair[1]).abs() < TOLERANCE))
    };
    Some(same(Percent::Hundredth)? || same(Percent::Ignored)?)
}

/// Stretches of the text that may be equations.
fn plain(solution: &str) -> Vec<String> {
    let symbols: Vec<char> = solution.chars().collect();
    let near = |place: Option<usize>| place.and_then(|place| symbols.get(place)).copied().unwrap_or(' ');
    let belongs = |place: usize| {
        let (before, after) = (near(place.checked_sub(1)), near(Some(place + 1)));
        match symbols[place] {
            '0'..='9' | '+' | '-' | '*' | '/' | '^' | '(' | ')' | '=' | '$' | '%' | '×' | '÷' | '−' | ' ' => true,
            // A full stop or a comma of the sentence ends the stretch.
            '.' => after.is_ascii_digit(),
            ',' => before.is_ascii_digit() && after.is_ascii_digit(),
            'x' => [before, after].iter().all(|symbol| " 0123456789()$".contains(*symbol)),
            _ => false,
        }
    };
    let places: Vec<usize> = (0..symbols.len()).filter(|&place| belongs(place)).collect();
    let stretches = places.chunk_by(|&a, &b| b == a + 1).map(|places| {
        let text: String = places.iter().map(|&place| symbols[place]).collect();
        let text = text.trim();
        // A dash and a space begin an item of a list.
        let text = text.strip_prefix("- ").unwrap_or(text).trim_end_matches(['-', '+', '*', '/', ' ']).trim_start();
        // Parentheses of the sentence, around the whole equation.
        let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
        inner.filter(|inner| holds(inner).is_some()).unwrap_or(text).to_owned()
    });
    stretches.filter(|text| text.split_once('=').is_some_and(|(left, _)| calculates(left))).collect()
}

/// Whether there is an operator between two numbers.
fn calculates(side: &str) -> bool {
    let mut numbers = side.split(|symbol: char| !symbol.is_ascii_digit() && !matches!(symbol, '.' | ','));
    numbers.by_ref().filter(|number| !number.is_empty()).count() > 1
}

/// The solutions to keep of those with the right answer to one problem, as their indices, in the order in which their paths
/// first appeared.
pub fn distinct(solutions: &[&str]) -> Vec<usize> {
    // Equations and the solution that stands for them.
    let mut kept: Vec<(Vec<String>, usize)> = Vec::new();
    for (index, &solution) in solutions.iter().enumerate() {
        let equations = equations(solution);
        if !equations.iter().all(|equation| equation.holds) {
            continue;
        }
        let path: Vec<String> = equations.into_iter().map(|equation| equation.text).collect();
        let Some(place) = kept.iter().position(|(known, _)| *known == path) else {
            kept.push((path, index));
            continue;
        };
        let distance = |candidate: &str| -> usize {
            let others = kept.iter().enumerate().filter(|&(other, _)| other != place);
            others.map(|(_, &(_, other))| edit_distance(candidate, solutions[other])).sum()
        };
        if distance(solution) > distance(solutions[kept[place].1]) {
            kept[place].1 = index;
        }
    }
    kept.into_iter().map(|(_, index)| index).collect()
}

/// The number of characters to insert, delete or replace (Levenshtein).
pub fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(solution: &str) -> Vec<(String, bool)> {
        equations(solution).into_iter().map(|equation| (equation.text, equation.holds)).collect()
    }

    #[track_caller]
    fn check(solution: &str, expected: &[(&str, bool)]) {
        let expected: Vec<(String, bool)> = expected.iter().map(|&(text, holds)| (text.to_owned(), holds)).collect();
        assert_eq!(of(solution), expected, "{solution}");
    }

    #[test]
    fn marked_equations() {
        check(
            "She sold 48/2 = <<48/2=24>>24 clips, <<48 + 24 = 72>>72 in all.",
            &[("48/2=24", true), ("48+24=72", true)],
        );
        check("<<10/3=3.33>> <<10/3=3.3333>>", &[("10/3=3.33", false), ("10/3=3.3333", true)]);
        check(
            "<<2+2=5>> <<2+=4>> <<4>> <<x+1=2>>",
            &[("2+2=5", false), ("2+=4", false), ("4", false), ("x+1=2", false)],
        );
        // A mark that is not closed is none.
        check("<<1+1=2>> and <<3+3", &[("1+1=2", true)]);
        check("<<50*20%=10>><<0.5*100=50%>>", &[("50*20%=10", true), ("0.5*100=50%", true)]);
    }

    #[test]
    fn plain_equations() {
        check("3 + 4 = 7 apples. Then 7 x 2 = 14.", &[("3+4=7", true), ("7x2=14", true)]);
        check("- $1,200 / 4 = $300, 300 - 1 = 298", &[("$1,200/4=$300", true), ("300-1=298", false)]);
        check("So x = 7 and 5 apples + 3 apples = 8 apples.", &[]);
        check("First (2 + 3 = 5). 1. (2 + 3) * 2 = 10 = 5 * 2", &[("2+3=5", true), ("(2+3)*2=10=5*2", true)]);
        check("In 1990-1995 = nothing", &[]);
        check("", &[]);
    }

    /// O15.
    #[test]
    fn planted_paths() {
        let solutions = [
            "It is <<2+3=5>>5.",
            // Wrong arithmetic, right answer.
            "It is <<2+2=5>>5.",
            // Another way.
            "It is <<3+2=5>>5.",
            // The first path again, spaces aside, and farther from the others than the first.
            "Let us add two and three, which gives <<2 + 3 = 5>>5, our answer.",
            // Again, but nearer.
            "It's <<2+3=5>>5.",
            // The same equations in another order are another path.
            "<<1+1=2>> <<2+3=5>>",
            "<<2+3=5>> <<1+1=2>>",
        ];
        assert_eq!(distinct(&solutions), [3, 2, 5, 6]);
        // Without another path there is nothing to be far from, and the first stays.
        assert_eq!(distinct(&[solutions[0], solutions[3], solutions[1]]), [0]);
        // Solutions without equations are one path.
        assert_eq!(distinct(&["It is 5.", "Five."]), [0]);
        assert!(distinct(&[]).is_empty());
    }

    #[test]
    fn edit_distances() {
        for (a, b, distance) in
            [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2), ("é", "e", 1)]
        {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
            assert_eq!(edit_distance(b, a), distance);
        }
    }
}
