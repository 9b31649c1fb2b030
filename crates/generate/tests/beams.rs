//! Beam search against all sequences that there are, plain loops, greedy decoding, and what `transformers` finds
//! (`tools/golden_beams.py`).

#[path = "support/golden.rs"]
mod golden;
#[path = "support/recalling.rs"]
mod recalling;
#[path = "support/text.rs"]
mod tiny;

use camelid_generate::engine::{BeamSearch, EarlyStopping, Hypothesis, Limits, answer_all, beam_search};
use camelid_generate::{Finish, Request, Sampling, StopRules};
use proptest::prelude::*;
use recalling::{Recalling, logits_after, normaliser};
use serde::Deserialize;
use tiny::text;

const LIMITS: Limits = Limits { context: 300, cache_tokens: 8192, samples: 400, prompt_tokens: 3 };
/// The last token ends an answer.
const VOCABULARY: usize = 5;
const STOP: u32 = 4;

fn search(prompt: &[u32], search: &BeamSearch) -> Vec<Hypothesis> {
    let mut model = Recalling { vocabulary: VOCABULARY, ..Recalling::default() };
    beam_search(&mut model, &text(), LIMITS, prompt, search).unwrap()
}

fn tokens(hypothesis: &Hypothesis) -> Vec<u32> {
    hypothesis.answer.tokens.iter().map(|score| score.token).collect()
}

fn log_prob(sequence: &[u32], token: u32) -> f64 {
    let logits = logits_after(sequence, VOCABULARY);
    f64::from((f64::from(logits[token as usize]) - normaliser(&logits)) as f32)
}

/// Every answer of up to `left` tokens, with its log-probability.
fn all_answers(prompt: &[u32], answer: &[u32], sum: f64, left: usize, found: &mut Vec<(Vec<u32>, f64)>) {
    for token in 0..VOCABULARY as u32 {
        let sequence = [prompt, answer].concat();
        let (answer, sum) = ([answer, &[token]].concat(), sum + log_prob(&sequence, token));
        if token == STOP || left == 1 {
            found.push((answer, sum));
        } else {
            all_answers(prompt, &answer, sum, left - 1, found);
        }
    }
}

#[test]
fn beams_for_everything_find_the_best_of_everything() {
    for (seed, length_penalty) in [0.0, 1.0, 2.0, -1.0].into_iter().enumerate() {
        let prompt = [1, 3, seed as u32, 0, 2];
        let mut expected = Vec::new();
        all_answers(&prompt, &[], 0.0, 4, &mut expected);
        let score = |(answer, sum): &(Vec<u32>, f64)| sum / (answer.len() as f64).powf(length_penalty);
        expected.sort_by(|a, b| score(b).total_cmp(&score(a)));
        let settings = BeamSearch {
            length_penalty: length_penalty as f32,
            early_stopping: EarlyStopping::Never,
            stop_tokens: vec![STOP],
            ..BeamSearch::new(320, 4)
        };
        let found = search(&prompt, &settings);
        assert_eq!(found.len(), 320);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(tokens(found), expected.0);
            assert!((found.score - score(expected)).abs() < 1e-9);
            let stopped = expected.0.last() == Some(&STOP);
            assert_eq!(found.answer.finish, Some(if stopped { Finish::Stop } else { Finish::Length }));
        }
    }
}

#[test]
fn one_beam_is_greedy() {
    for first in 0..12 {
        let prompt: Vec<u32> = (0..70).map(|place| place * first % 250).collect();
        let settings = BeamSearch { early_stopping: EarlyStopping::Full, ..BeamSearch::new(1, 40) };
        let greedy = Request {
            prompt: prompt.clone(),
            samples: 1,
            max_tokens: 40,
            sampling: Sampling::greedy(),
            stop: StopRules::default(),
            choices: Vec::new(),
            top_log_probs: 0,
            prompt_log_probs: false,
        };
        let expected = answer_all(&mut Recalling::default(), &text(), LIMITS, vec![greedy], &mut |_| {}).unwrap();
        let found = beam_search(&mut Recalling::default(), &text(), LIMITS, &prompt, &settings).unwrap();
        let answers: Vec<_> = found.into_iter().map(|hypothesis| hypothesis.answer).collect();
        assert_eq!(answers, expected[0]);
    }
}

/// Groups of one beam, as plain loops without a cache: the likeliest token less what it costs that others have it.
fn groups_by_hand(prompt: &[u32], groups: usize, penalty: f64, length: usize) -> Vec<(Vec<u32>, f64)> {
    let mut answers = vec![(Vec::new(), 0.0); groups];
    for _ in 0..length {
        let mut chosen: Vec<u32> = Vec::new();
        for (answer, sum) in &mut answers {
            let sequence = [prompt, answer].concat();
            let value = |token: u32| {
                let times = chosen.iter().filter(|&&other| other == token).count() as f64;
                log_prob(&sequence, token) - penalty * times
            };
            let best = (0..VOCABULARY as u32).max_by(|&a, &b| value(a).total_cmp(&value(b))).unwrap();
            *sum += value(best);
            answer.push(best);
            chosen.push(best);
        }
    }
    answers.sort_by(|a, b| b.1.total_cmp(&a.1));
    answers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn groups_of_one_pay_for_what_the_groups_before_them_took(
        prompt in proptest::collection::vec(0..VOCABULARY as u32, 1..20), groups in 2_usize..6, penalty in 0.0_f32..3.0,
    ) {
        let settings = BeamSearch {
            groups, diversity_penalty: penalty, length_penalty: 0.0, ..BeamSearch::new(groups, 9)
        };
        let found = search(&prompt, &settings);
        let expected = groups_by_hand(&prompt, groups, f64::from(penalty), 9);
        prop_assert_eq!(found.len(), groups);
        for (found, (answer, sum)) in found.iter().zip(expected) {
            prop_assert_eq!(tokens(found), answer);
            prop_assert!((found.score - sum).abs() < 1e-9);
        }
    }

    #[test]
    fn a_group_does_not_see_those_after_it(
        prompt in proptest::collection::vec(0..VOCABULARY as u32, 1..20), width in 1_usize..5, groups in 1_usize..4,
        length_penalty in -1.0_f32..2.0,
    ) {
        let found = |groups: usize, diversity_penalty: f32| {
            let settings = BeamSearch {
                groups, diversity_penalty, length_penalty, stop_tokens: vec![STOP], ..BeamSearch::new(groups * width, 12)
            };
            search(&prompt, &settings)
        };
        let alone = found(1, 0.0);
        prop_assert!(alone.len() <= width && alone.is_sorted_by(|a, b| a.score >= b.score));
        let (fewer, more) = (found(groups, if groups > 1 { 0.7 } else { 0.0 }), found(groups + 1, 0.7));
        // The answers of the groups that both have are those of the smaller search.
        prop_assert!(more.len() > fewer.len());
        prop_assert!(fewer.iter().all(|hypothesis| more.contains(hypothesis)));
        // Groups that differ costs nothing find the same.
        for hypothesis in &alone {
            prop_assert_eq!(found(3, 0.0).iter().filter(|other| *other == hypothesis).count(), 3);
        }
    }

    /// The penalty is no part of what the model is said to think.
    #[test]
    fn log_probabilities_are_the_models(prompt in proptest::collection::vec(0..VOCABULARY as u32, 1..20)) {
        let settings = BeamSearch { groups: 2, diversity_penalty: 1.0, ..BeamSearch::new(4, 10) };
        for hypothesis in search(&prompt, &settings) {
            let mut sequence = prompt.clone();
            for score in hypothesis.answer.tokens {
                prop_assert_eq!(f64::from(score.log_prob), log_prob(&sequence, score.token));
                sequence.push(score.token);
            }
        }
    }
}

#[derive(Deserialize)]
struct Recorded {
    stop_tokens: Vec<u32>,
    max_tokens: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    family: String,
    prompt: Vec<u32>,
    beams: usize,
    length_penalty: f32,
    early_stopping: serde_json::Value,
    answers: Vec<Vec<u32>>,
    scores: Vec<f64>,
}

#[test]
fn transformers_finds_the_same() {
    let recorded: Recorded = serde_json::from_str(include_str!("golden/beams.json")).unwrap();
    let mut model: Option<(String, _)> = None;
    for case in recorded.cases {
        if model.as_ref().is_none_or(|(family, _)| *family != case.family) {
            model = Some((case.family.clone(), golden::model(&case.family)));
        }
        let (_, model) = model.as_mut().unwrap();
        let early_stopping = match &case.early_stopping {
            serde_json::Value::Bool(true) => EarlyStopping::Full,
            serde_json::Value::Bool(false) => EarlyStopping::Likely,
            _ => EarlyStopping::Never,
        };
        let settings = BeamSearch {
            length_penalty: case.length_penalty,
            early_stopping,
            stop_tokens: recorded.stop_tokens.clone(),
            ..BeamSearch::new(case.beams, recorded.max_tokens)
        };
        // The small tokenizer's own stop token is beyond these models' vocabulary.
        let found = beam_search(model, &text(), LIMITS, &case.prompt, &settings).unwrap();
        let place = format!("{} {settings:?}", case.family);
        assert_eq!(found.iter().map(tokens).collect::<Vec<_>>(), case.answers, "{place}");
        for (found, expected) in found.iter().zip(&case.scores) {
            assert!((found.score - expected).abs() < 1e-4 * expected.abs().max(1.0), "{place}: {}", found.score);
        }
    }
}

#[test]
fn what_cannot_be_searched_is_said() {
    let cases = [
        (BeamSearch::new(0, 5), "0 beams"),
        (BeamSearch::new(401, 5), "401 beams"),
        (BeamSearch { groups: 3, ..BeamSearch::new(4, 5) }, "4 beams cannot be split into 3 groups"),
        (BeamSearch { groups: 0, ..BeamSearch::new(4, 5) }, "into 0 groups"),
        (BeamSearch { groups: 2, diversity_penalty: -1.0, ..BeamSearch::new(4, 5) }, "diversity penalty is -1"),
        (BeamSearch { diversity_penalty: 1.0, ..BeamSearch::new(4, 5) }, "no effect within one group"),
        (BeamSearch { length_penalty: f32::NAN, ..BeamSearch::new(4, 5) }, "length penalty is NaN"),
        (BeamSearch::new(4, 0), "no tokens"),
        (BeamSearch::new(4, 298), "301 tokens together, the context holds 300"),
        (BeamSearch::new(200, 200), "39803 tokens of cache"),
    ];
    for (settings, expected) in cases {
        let error = settings.check(3, &LIMITS).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("fix: "), "{error}");
    }
    assert!(BeamSearch::new(4, 5).check(0, &LIMITS).is_err());
}
