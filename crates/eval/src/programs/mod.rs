//! Problems whose answers are programs: what is run to score an answer, and what a model's samples are worth.
//!
//! Nothing is run here. A caller runs what `program` returns where it can do no harm, to the last line, and [`tally`]
//! counts per problem what passed, for [`mean_pass_at_k`](crate::aggregation::samples::mean_pass_at_k).

pub mod humaneval;
pub mod mbpp;

use serde_json::Value as Json;

/// A row that is no problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}` {what}\n  fix: {fix}")]
pub struct ProblemError {
    field: &'static str,
    what: String,
    fix: &'static str,
}

const FIX: &str = "use a row of the published file";

/// Cuts a completion where a stop string begins, the earliest one: what follows a function's body is another matter.
pub fn cut_at_stops<'a>(completion: &'a str, stops: &[&str]) -> &'a str {
    let end = stops.iter().filter_map(|stop| completion.find(stop)).min();
    completion.get(..end.unwrap_or(completion.len())).unwrap_or(completion)
}

/// How many samples each problem has and how many of them passed, in the order in which problems first appear.
pub fn tally<'a>(samples: impl IntoIterator<Item = (&'a str, bool)>) -> Vec<(&'a str, usize, usize)> {
    let mut problems: Vec<(&str, usize, usize)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (problem, passed) in samples {
        let place = *places.entry(problem).or_insert_with(|| {
            problems.push((problem, 0, 0));
            problems.len() - 1
        });
        if let Some((_, all, right)) = problems.get_mut(place) {
            *all += 1;
            *right += usize::from(passed);
        }
    }
    problems
}

fn parse(line: &str) -> Result<Json, ProblemError> {
    let wrong =
        |error: serde_json::Error| ProblemError { field: "row", what: format!("is not JSON: {error}"), fix: FIX };
    serde_json::from_str(line).map_err(wrong)
}

fn text(row: &Json, field: &'static str) -> Result<String, ProblemError> {
    let text = row.get(field).and_then(Json::as_str).map(str::to_owned);
    text.ok_or_else(|| ProblemError { field, what: "is missing or not a text".into(), fix: FIX })
}

fn texts(row: &Json, field: &'static str) -> Result<Vec<String>, ProblemError> {
    let texts = row.get(field).and_then(Json::as_array).and_then(|list| {
        let each = list.iter().map(|text| text.as_str().map(str::to_owned));
        each.collect::<Option<Vec<_>>>()
    });
    texts.ok_or_else(|| ProblemError { field, what: "is missing or not a list of texts".into(), fix: FIX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregation::samples::mean_pass_at_k;

    #[test]
    fn a_completion_ends_at_the_first_stop() {
        assert_eq!(
            cut_at_stops("    return 1\n\ndef g():\n    pass\nprint(1)", &["\nprint", "\ndef"]),
            "    return 1\n"
        );
        assert_eq!(cut_at_stops("    return 1", &["\ndef"]), "    return 1");
        assert_eq!(cut_at_stops("", &["\ndef"]), "");
    }

    #[test]
    fn samples_are_counted_by_problem() {
        let samples = [("b", true), ("a", false), ("b", false), ("a", true), ("b", true), ("a", false)];
        let problems = tally(samples);
        assert_eq!(problems, [("b", 3, 2), ("a", 3, 1)]);
        let counts: Vec<_> = problems.into_iter().map(|(_, all, right)| (all, right)).collect();
        // 1 - C(n-c, k)/C(n, k): 2/3 and 1/3 for one sample, 1 and 2/3 for two.
        assert!((mean_pass_at_k(&counts, 1).unwrap().value - 0.5).abs() < 1e-12);
        assert!((mean_pass_at_k(&counts, 2).unwrap().value - 5.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_wrong_with_a_row_is_named() {
        let row = parse(r#"{"a": 1, "b": ["x", 2]}"#).unwrap();
        assert!(text(&row, "a").unwrap_err().to_string().contains("field `a`"));
        assert!(texts(&row, "b").unwrap_err().to_string().contains("\n  fix: "));
        assert!(parse("{").unwrap_err().to_string().contains("not JSON"));
    }
}
