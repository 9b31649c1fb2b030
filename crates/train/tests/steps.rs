//! Where the reward of each step stands, what is counted, and that a group learns from steps.

#[allow(dead_code, reason = "each test file uses its part")]
mod support;

use camelid_objectives::Reduced;
use camelid_objectives::reward::ensemble::{Combine, Standard};
use camelid_objectives::reward::steps::Aggregate;
use camelid_text::{Encoded, Text};
use camelid_train::rewards::{Candidate, Given, Rewards, StepsGiven, StepsReward, Term};
use camelid_train::{Asked, Prompt, RewardModels};
use support::Table;

/// Letters as tokens, with nothing between them in texts.
fn text() -> Text {
    let mut assets = support::text().assets().clone();
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&assets.tokenizer_json).unwrap();
    tokenizer["decoder"] = serde_json::json!({"type": "Fuse"});
    assets.tokenizer_json = tokenizer.to_string().into_bytes();
    Text::new(assets).unwrap()
}

/// A judge that finds everything right with these log-odds.
fn judge(log_odds: f32, given: StepsGiven) -> StepsReward {
    let members: Vec<(Box<dyn camelid_model::Engine>, Standard)> =
        vec![(Box::new(Table::judging(0.0, log_odds)), Standard::IDENTITY)];
    StepsReward {
        models: RewardModels::ensemble(members, Combine::Mean).unwrap(),
        text: text(),
        separator: "|".into(),
        given,
        token_budget: 64,
        counted: Reduced::default(),
    }
}

/// The prompt `ab` and an answer, the end of text behind it.
fn sequence(text: &Text, answer: &str, record: u32) -> Encoded {
    let prompt = text.encode_prompt("ab");
    let answer: Vec<u32> = answer.chars().map(|letter| text.encode_prompt(&letter.to_string())[0]).chain([1]).collect();
    let weights = prompt.iter().map(|_| 0.0).chain(answer.iter().map(|_| 1.0)).collect();
    Encoded { tokens: [prompt, answer].concat(), weights, record }
}

fn given(reward: StepsReward, answers: &[(u32, &str)]) -> (Vec<Given>, Vec<(String, f64)>) {
    let text = text();
    let prompt = Prompt { asked: Asked::Text("ab".into()), expected: None };
    let sequences: Vec<Encoded> = answers.iter().map(|(record, answer)| sequence(&text, answer, *record)).collect();
    let candidates: Vec<Candidate<'_>> = sequences
        .iter()
        .zip(answers)
        .map(|(sequence, (record, text))| Candidate { prompt: &prompt, record: *record, sequence, text, ended: true })
        .collect();
    let mut rewards = Rewards { terms: vec![Term { weight: 2.0, reward: Box::new(reward) }] };
    let (given, metrics) = rewards.of(&candidates).unwrap();
    (given, metrics.into_iter().map(|metric| (metric.name.to_string(), metric.value.mean().unwrap())).collect())
}

/// Odds of 3 to 1.
const P: f64 = 0.75;

#[test]
fn each_step_is_rewarded_at_its_last_token() {
    let each = StepsGiven::Each(Box::new(text()));
    // `cd|e||f`: steps end at tokens 1, 3 and 6; the second answer has none, the third one.
    let (given, metrics) = given(judge(3.0_f32.ln(), each), &[(0, "cd|e||f"), (0, "||"), (1, "c")]);
    let places = |given: &Given| given.steps.iter().map(|(token, _)| *token).collect::<Vec<_>>();
    assert_eq!(given.iter().map(places).collect::<Vec<_>>(), [vec![1, 3, 6], vec![], vec![0]]);
    for (_, reward) in given.iter().flat_map(|given| &given.steps) {
        assert!((reward - 2.0 * P).abs() < 1e-6, "{reward}");
    }
    assert!(given.iter().all(|given| given.score == 0.0));
    // Before the weight: 3 p, 0 and p; four steps in three answers.
    let figure = |name: &str| metrics.iter().find(|(known, _)| known == name).unwrap().1;
    assert!((figure("rewards/steps/mean") - 4.0 * P / 3.0).abs() < 1e-6, "{metrics:?}");
    assert!((figure("rewards/steps/count") - 4.0 / 3.0).abs() < 1e-12, "{metrics:?}");
}

#[test]
fn an_aggregate_stands_at_the_end() {
    for (aggregate, by_hand) in
        [(Aggregate::Min, P), (Aggregate::Product, P * P * P), (Aggregate::Last, P), (Aggregate::Mean, P)]
    {
        let (given, _) = given(judge(3.0_f32.ln(), StepsGiven::Once(aggregate)), &[(0, "cd|e||f"), (0, "||")]);
        assert!((given[0].score - 2.0 * by_hand).abs() < 1e-6, "{aggregate:?}: {given:?}");
        assert_eq!((given[0].steps.len(), &given[1]), (0, &Given::default()));
    }
}
