//! Several reward models as one: how rewards are put on one scale and combined.

#[allow(dead_code, reason = "each test file uses its part")]
mod support;

use camelid_model::Engine;
use camelid_objectives::reward::ensemble::{Combine, Standard};
use camelid_text::Encoded;
use camelid_train::rewards::{Candidate, ModelReward, Reward};
use camelid_train::{Asked, Example, Prompt, RewardModels, TrainError};
use support::{Table, text};

fn examples() -> Vec<Example> {
    let sequence =
        |tokens: &[u32], record: u32| Encoded { tokens: tokens.to_vec(), weights: vec![1.0; tokens.len()], record };
    let of = |record: u32, answers: &[&[u32]]| Example {
        sequences: answers.iter().map(|tokens| sequence(tokens, record)).collect(),
        ..Example::default()
    };
    vec![of(0, &[&[1, 2], &[1, 5, 4]]), of(1, &[&[7, 7, 7, 9]])]
}

fn judge(scale: f32, shift: f32) -> Box<dyn Engine> {
    Box::new(Table::judging(scale, shift))
}

#[test]
fn members_are_standardised_and_combined_for_any_token_budget() {
    let examples = examples();
    let examples: Vec<&Example> = examples.iter().collect();
    // Judges give scale · last token + shift; last tokens are 2 and 4, and 9.
    let ensemble = |combine| {
        let first = (judge(2.0, 1.0), Standard { mean: 5.0, deviation: 2.0 });
        let second = (judge(-1.0, 0.0), Standard { mean: 0.0, deviation: 1.0 });
        RewardModels::ensemble(vec![first, second], combine).unwrap()
    };
    // (2t + 1 - 5) / 2 = t - 2, and -t.
    for budget in [1, 1000] {
        let members = ensemble(Combine::Mean).rewards_of_members(&examples, budget).unwrap();
        assert_eq!(members, [[vec![0.0, 2.0], vec![7.0]], [vec![-2.0, -4.0], vec![-9.0]]]);
        assert_eq!(ensemble(Combine::Mean).rewards(&examples, budget).unwrap(), [vec![-1.0, -1.0], vec![-1.0]]);
        assert_eq!(ensemble(Combine::Minimum).rewards(&examples, budget).unwrap(), [vec![-2.0, -4.0], vec![-9.0]]);
    }
    let single = RewardModels::single(judge(2.0, 1.0)).rewards(&examples, 10).unwrap();
    assert_eq!(single, [vec![5.0, 9.0], vec![19.0]]);
    assert!(ensemble(Combine::Mean).rewards(&[], 10).unwrap().is_empty());
}

#[test]
fn what_is_no_number_is_an_error() {
    let examples = examples();
    let examples: Vec<&Example> = examples.iter().collect();
    let members = [1.0, f32::NAN].map(|scale| (judge(scale, 0.0), Standard::IDENTITY));
    // The minimum of a number and NaN would be the number.
    let mut broken = RewardModels::ensemble(members.into(), Combine::Minimum).unwrap();
    let error = broken.rewards(&examples, 10).unwrap_err();
    assert!(error.to_string().contains("reward model 2 gives a reward of NaN"), "{error}");
    assert!(matches!(RewardModels::ensemble(Vec::new(), Combine::Mean), Err(TrainError::Data { .. })));
}

/// An answer with a control token in it would otherwise end a run of days: a policy draws every token sometimes.
#[test]
fn control_tokens_in_an_answer_are_not_judged() {
    let models = RewardModels::single(judge(1.0, 0.0));
    let mut reward = ModelReward { models, text: text(), token_budget: 100 };
    let prompt = Prompt { asked: Asked::Text("a".into()), expected: None };
    let sequence = Encoded { tokens: vec![2, 3], weights: vec![0.0, 1.0], record: 0 };
    let mut of = |text: &str| {
        let candidate = Candidate { prompt: &prompt, record: 0, sequence: &sequence, text, ended: false };
        reward.rewards(&[candidate]).unwrap()
    };
    assert_eq!(of("bc</s>d<</s>/s>"), of("bcd"));
    // Nothing but such tokens is an empty answer, which is judged as it was drawn: its last token is 3.
    assert_eq!(of("</s><s>")[0].total(), 3.0);
    assert_eq!(of("")[0].total(), 3.0);
}
