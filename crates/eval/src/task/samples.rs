//! Several answers to one item as one score.
//!
//! **Formula.** Of `n` answers that are read: the score is whether the one that most of them give is right; an answer that could not be
//! read never votes, and a tie goes to what was said first. Beside it stand pass@k for k = 1 (the share of answers that are right), 10, 100 and n,
//! the vote of the longer half (the answers with the most steps), and, with a rater, the best answer by its number and the vote weighed by
//! the probability `σ(number)`. Of `n` programs the score is pass@1, as programs have no votes.
//!
//! **Source.** Wang 2022 (arXiv 2203.11171) for votes, Chen 2021 (arXiv 2107.03374) eq. 1 for pass@k, Fu 2022 (arXiv 2210.00720) for
//! complexity, Cobbe 2021 (arXiv 2110.14168) and Lightman 2023 (arXiv 2305.20050) for raters.

use camelid_objectives::selection::best_of_n;
use camelid_objectives::selection::pass_at_k::pass_at_k;
use serde_json::{Value as Json, json};

use super::Scored;
use super::definition::Scoring;
use super::scored::rung_name;
use crate::aggregation::complexity::{complexity_vote, steps};
use crate::aggregation::samples::{majority, weighted_majority};
use crate::results::Status;

/// The figures pass@k that are told where there are as many answers.
const AT: [(usize, &str); 3] = [(1, "pass@1"), (10, "pass@10"), (100, "pass@100")];

/// What the score of several answers is called.
pub(super) fn metric(scoring: &Scoring, samples: usize) -> String {
    match scoring {
        Scoring::Program { .. } => "pass@1".to_owned(),
        _ => format!("maj@{samples}"),
    }
}

/// One line of all answers to an item; `ratings` are as many. If one of them has no reply, the item has none: the same command asks for it
/// again.
pub(super) fn combine(scoring: &Scoring, samples: &[Scored], ratings: Option<&[f64]>) -> Scored {
    let Some(first) = samples.first() else { return Scored::new(String::new()) };
    let listed =
        || samples.iter().enumerate().map(|(place, sample)| shown(sample, ratings.map(|all| all[place]))).collect();
    if let Some(failed) = samples.iter().find(|sample| sample.status == Status::Error) {
        let mut failed = failed.clone();
        failed.details.insert("samples".into(), Json::Array(listed()));
        return failed;
    }
    let is_right = |sample: &Scored| sample.score == Some(1.0);
    let right = samples.iter().filter(|sample| is_right(sample)).count();
    let answers: Vec<Option<&str>> = samples.iter().map(|sample| sample.extracted.as_deref()).collect();
    let stands_for =
        |answer: Option<&str>| samples.iter().find(|s| answer.is_some() && s.extracted.as_deref() == answer);
    let verdict = |answer: Option<&str>| (f64::from(u8::from(stands_for(answer).is_some_and(is_right))), 1.0);

    let voted = stands_for(majority(&answers));
    let mut scored = Scored { also: std::collections::BTreeMap::new(), ..voted.unwrap_or(first).clone() };
    for (k, name) in AT.into_iter().filter(|(k, _)| *k <= samples.len()) {
        scored.also.extend(pass_at_k(samples.len(), right, k).map(|share| (name, (share, 1.0))));
    }
    scored.also.insert("pass@n", (f64::from(u8::from(right > 0)), 1.0));
    scored.also.insert("answers_read", (answers.iter().flatten().count() as f64, samples.len() as f64));
    if matches!(scoring, Scoring::Program { .. }) {
        scored.score = Some(right as f64 / samples.len() as f64);
        scored.also.remove("pass@1");
    } else {
        let by_steps: Vec<_> =
            samples.iter().zip(&answers).map(|(sample, answer)| (steps(&sample.answer), *answer)).collect();
        scored.also.insert("longer_half_vote", verdict(complexity_vote(&by_steps, samples.len().div_ceil(2))));
    }
    if let Some(ratings) = ratings {
        // The best one counts as wrong where it could not be read: its number was given without looking.
        let best = best_of_n::best(ratings).is_some_and(|best| is_right(&samples[best]));
        scored.also.insert("best_of_n", (f64::from(u8::from(best)), 1.0));
        let probabilities: Vec<f64> = ratings.iter().map(|rating| 1.0 / (1.0 + (-rating).exp())).collect();
        scored.also.insert("weighed_vote", verdict(weighted_majority(&answers, &probabilities)));
    }
    scored.details.insert("samples".into(), Json::Array(listed()));
    scored
}

fn shown(sample: &Scored, rating: Option<f64>) -> Json {
    let mut line = json!({
        "answer": sample.answer, "extracted": sample.extracted, "rung": sample.rung.map(rung_name),
        "score": sample.score, "status": sample.status,
    });
    if let Some(rating) = rating {
        line["rating"] = json!(rating);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extraction::Rung;
    use crate::task::definition::Extract;

    const GENERATION: Scoring = Scoring::Generation { extract: Extract::Number, max_tokens: 1, stop: Vec::new() };

    fn sample(answer: &str, extracted: Option<&str>, right: bool) -> Scored {
        let mut scored = Scored { answer: answer.into(), ..Scored::new("7".into()) };
        scored.judge(extracted.map(|_| (Rung::Strict, right)), false);
        scored.extracted = extracted.map(str::to_owned);
        scored
    }

    fn five() -> Vec<Scored> {
        vec![
            sample("?", None, false),
            sample("8", Some("8"), false),
            sample("a\nb\n7", Some("7"), true),
            sample("?", None, false),
            sample("a\n7", Some("7"), true),
        ]
    }

    #[test]
    fn the_answer_of_most_is_the_answer() {
        let scored = combine(&GENERATION, &five(), None);
        assert_eq!((scored.score, scored.extracted.as_deref(), scored.status), (Some(1.0), Some("7"), Status::Ok));
        // Two of five are right; the longer half is both of them and what comes first of the short ones.
        assert!((scored.also["pass@1"].0 - 0.4).abs() < 1e-12);
        assert_eq!((scored.also["pass@n"], scored.also["answers_read"]), ((1.0, 1.0), (3.0, 5.0)));
        assert_eq!(scored.also["longer_half_vote"], (1.0, 1.0));
        assert!(!scored.also.contains_key("pass@10") && !scored.also.contains_key("best_of_n"));
        assert_eq!(scored.details["samples"].as_array().unwrap().len(), 5);
        assert_eq!(metric(&GENERATION, 5), "maj@5");
    }

    #[test]
    fn raters_choose_and_weigh() {
        // Sure of the wrong answer, and of one that cannot be read.
        let scored = combine(&GENERATION, &five(), Some(&[9.0, 4.0, -4.0, 0.0, -4.0]));
        assert_eq!((scored.also["best_of_n"].0, scored.also["weighed_vote"].0), (0.0, 0.0));
        let scored = combine(&GENERATION, &five(), Some(&[0.0, -4.0, 1.0, 0.0, 0.0]));
        assert_eq!((scored.also["best_of_n"].0, scored.also["weighed_vote"].0), (1.0, 1.0));
        assert_eq!(scored.details["samples"][2]["rating"], json!(1.0));
    }

    #[test]
    fn nothing_read_is_not_read_and_nothing_answered_is_an_error() {
        let unread = [sample("?", None, false), sample("", None, false)];
        let scored = combine(&GENERATION, &unread, None);
        assert_eq!((scored.score, scored.status), (Some(0.0), Status::Unparsed));
        let failure = crate::task::Failure { kind: crate::task::FailureKind::Timeout, message: "late".into() };
        let some = [sample("7", Some("7"), true), Scored::failed("7".into(), &failure)];
        let scored = combine(&GENERATION, &some, None);
        assert_eq!((scored.score, scored.status), (None, Status::Error));
    }

    #[test]
    fn programs_have_no_votes() {
        let program = Scoring::Program { max_tokens: 1, stop: Vec::new() };
        let mut ten = vec![sample("x", Some("x"), false); 9];
        ten.push(sample("y", Some("y"), true));
        let scored = combine(&program, &ten, None);
        assert_eq!((scored.score, scored.also["pass@10"].0, scored.also["pass@n"].0), (Some(0.1), 1.0, 1.0));
        assert!(!scored.also.contains_key("longer_half_vote"));
    }
}
