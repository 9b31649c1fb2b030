//! The engine against a model whose logits are a function of the whole sequence: whoever mixes up rows, spans or positions
//! gets other tokens.

#[path = "support/recalling.rs"]
mod recalling;
#[path = "support/text.rs"]
mod tiny;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use camelid_generate::engine::{Answered, EngineService, Limits, Scheduler, Unanswered, answer_all};
use camelid_generate::{Event, Finish, Refusal, Request, Sampler, Sampling, Service, Sink, StopRules};
use camelid_model::Generate;
use proptest::prelude::*;
use recalling::{Recalling, normaliser};
use tiny::text;

const VOCABULARY: usize = Recalling::VOCABULARY;

fn logits_after(sequence: &[u32]) -> Vec<f32> {
    recalling::logits_after(sequence, VOCABULARY)
}

fn request(prompt: Vec<u32>, samples: usize, max_tokens: usize, seed: u64) -> Request {
    Request {
        prompt,
        samples,
        max_tokens,
        sampling: Sampling::plain(seed),
        stop: StopRules::default(),
        choices: Vec::new(),
        top_log_probs: 0,
        prompt_log_probs: false,
    }
}

/// What a sample must be: one sequence, no cache, no batch.
fn by_hand(request: &Request, number: usize) -> (Vec<u32>, Vec<f32>) {
    let text = text();
    let mut sampler = Sampler::for_sample(request.sampling, number).unwrap();
    let (mut tokens, mut log_probs) = (Vec::new(), Vec::new());
    while tokens.len() < request.max_tokens {
        let sequence: Vec<u32> = request.prompt.iter().chain(&tokens).copied().collect();
        let logits = logits_after(&sequence);
        let token = sampler.draw(&logits, normaliser(&logits), &request.prompt, &tokens, None).token;
        log_probs.push((f64::from(logits[token as usize]) - normaliser(&logits)) as f32);
        tokens.push(token);
        if text.stop_tokens().contains(&token) {
            break;
        }
    }
    (tokens, log_probs)
}

fn tokens_of(answered: &Answered) -> (Vec<u32>, Vec<f32>) {
    answered.tokens.iter().map(|score| (score.token, score.log_prob)).unzip()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever shares the batch, the cache or the prompt, and however small the engine is.
    #[test]
    fn a_request_gets_what_it_gets_alone(
        lengths in proptest::collection::vec((1_usize..200, 1_usize..4, 1_usize..90, any::<bool>()), 1..8),
        cache_blocks in 16_usize..40,
        samples in 4_usize..8,
        prompt_tokens in 1_usize..150,
    ) {
        let limits = Limits { context: 300, cache_tokens: cache_blocks * 64, samples, prompt_tokens };
        let shared: Vec<u32> = (0..200).map(|token| token * 7 % 251).collect();
        let requests: Vec<Request> = lengths.iter().enumerate().map(|(seed, &(length, count, max_tokens, shares))| {
            let own = |place: usize| (place * (seed + 3) % 250) as u32;
            let prompt = (0..length).map(|place| if shares { shared[place] } else { own(place) }).collect();
            request(prompt, count, max_tokens, seed as u64)
        }).collect();
        let mut engine = Recalling::default();
        let answers = answer_all(&mut engine, &text(), limits, requests.clone(), &mut |_| {}).unwrap();
        for (request, answers) in requests.iter().zip(&answers) {
            prop_assert_eq!(answers.len(), request.samples);
            for (number, answered) in answers.iter().enumerate() {
                prop_assert_eq!(tokens_of(answered), by_hand(request, number));
                prop_assert!(answered.finish.is_some());
            }
        }
    }
}

fn run(scheduler: &mut Scheduler, engine: &mut Recalling) {
    for _ in 0..10_000 {
        if scheduler.is_idle() {
            return;
        }
        scheduler.step(engine, &text()).unwrap();
    }
    panic!("the scheduler does not come to an end");
}

fn ignored() -> Sink {
    Box::new(|_| true)
}

#[test]
fn a_prefix_is_computed_once_and_no_row_is_lost() {
    let limits = Limits { context: 600, cache_tokens: 2048, samples: 16, prompt_tokens: 512 };
    let (mut scheduler, mut engine) = (Scheduler::new(limits), Recalling::default());
    engine.open_cache(limits.cache_tokens, limits.context);
    let prompt: Vec<u32> = (0..400).map(|token| token % 250).collect();
    for seed in 0..5 {
        let mut own = prompt.clone();
        own.push(seed);
        scheduler.submit(request(own, 3, 5, u64::from(seed)), ignored(), Arc::default());
    }
    run(&mut scheduler, &mut engine);
    let load = scheduler.load();
    // Six full blocks of the prompt are computed by the first request only.
    assert_eq!((load.prompt_tokens, load.cached_prompt_tokens), (5 * 401, 4 * 384));
    assert_eq!((load.running, load.cache_used), (0, 0));
    scheduler.forget();
    scheduler.submit(request(prompt, 1, 5, 0), ignored(), Arc::default());
    run(&mut scheduler, &mut engine);
    assert_eq!(
        scheduler.load().cached_prompt_tokens,
        4 * 384,
        "after new weights nothing is shared with what was before"
    );
}

#[test]
fn a_cancelled_request_gives_everything_back() {
    let limits = Limits { context: 600, cache_tokens: 2048, samples: 8, prompt_tokens: 512 };
    let (mut scheduler, mut engine) = (Scheduler::new(limits), Recalling::default());
    engine.open_cache(limits.cache_tokens, limits.context);
    let cancelled = Arc::new(AtomicBool::new(false));
    let long =
        Request { stop: StopRules { ignore_end: true, ..StopRules::default() }, ..request(vec![1; 100], 4, 200, 1) };
    scheduler.submit(long.clone(), ignored(), Arc::clone(&cancelled));
    // Listens to three events only.
    let mut left = 3;
    let deaf: Sink = Box::new(move |_| {
        left -= 1;
        left > 0
    });
    scheduler.submit(Request { samples: 1, ..long.clone() }, deaf, Arc::default());
    (0..20).for_each(|_| scheduler.step(&mut engine, &text()).unwrap());
    assert_eq!(scheduler.load().running, 4, "the one that nobody listens to has gone");
    cancelled.store(true, Ordering::Relaxed);
    scheduler.step(&mut engine, &text()).unwrap();
    assert!(scheduler.is_idle() && scheduler.load().cache_used == 0);
}

#[test]
fn stop_strings_choices_scores_and_limits() {
    let mut engine = Recalling::default();
    let all = |engine: &mut Recalling, request: Request| {
        answer_all(engine, &text(), Limits::default(), vec![request], &mut |_| {}).unwrap().remove(0)
    };
    let plain = all(&mut engine, request(vec![1, 2, 3], 1, 40, 5)).remove(0);
    let letter: String = plain.text.chars().nth(3).into_iter().collect();
    let stop = StopRules { strings: vec![letter.clone()], ..StopRules::default() };
    let stopped = all(&mut engine, Request { stop, ..request(vec![1, 2, 3], 1, 40, 5) }).remove(0);
    assert_eq!(stopped.finish, Some(Finish::Stop));
    assert_eq!(stopped.text, plain.text[..plain.text.find(&letter).unwrap()]);

    let choices = vec![vec![65], vec![66, 67]];
    for seed in 0..20 {
        let chosen = all(&mut engine, Request { choices: choices.clone(), ..request(vec![9], 1, 8, seed) }).remove(0);
        assert!(["A", "BC"].contains(&chosen.text.as_str()) && chosen.finish == Some(Finish::Stop), "{chosen:?}");
    }

    // The prompt's tokens are scored as they are, over several pieces, and nothing is sampled.
    let prompt: Vec<u32> = (0..150).map(|token| token % 97).collect();
    let (sender, events) = channel();
    let mut scheduler = Scheduler::new(Limits { prompt_tokens: 50, ..Limits::default() });
    engine.open_cache(Limits::default().cache_tokens, 2048);
    let scored = Request { prompt_log_probs: true, top_log_probs: 2, ..request(prompt.clone(), 1, 0, 0) };
    scheduler.submit(scored, Box::new(move |event| sender.send(event).is_ok()), Arc::default());
    run(&mut scheduler, &mut engine);
    let events: Vec<Event> = events.try_iter().collect();
    let [Event::Prompt(scores), Event::Finished { .. }, Event::Done] = &events[..] else { panic!("{events:?}") };
    assert_eq!(scores.len(), 149);
    for (place, score) in scores.iter().enumerate() {
        let logits = logits_after(&prompt[..=place]);
        assert_eq!(score.token, prompt[place + 1]);
        assert_eq!(score.log_prob, (f64::from(logits[score.token as usize]) - normaliser(&logits)) as f32);
        assert!(score.top.len() == 2 && score.top[0].1 >= score.top[1].1 && score.top[1].1 >= -20.0);
    }

    let refused = answer_all(&mut engine, &text(), Limits::default(), vec![request(vec![], 1, 1, 0)], &mut |_| {});
    assert!(matches!(
        refused,
        Err(Unanswered::Refused { index: 0, refusal: Refusal::Invalid { field: "prompt", .. } })
    ));
}

/// One token of many seeds, against the softmax: chi-square at 1 % over the 30 likeliest tokens and the rest.
#[test]
fn samples_follow_the_models_distribution() {
    let prompt = vec![7, 8, 9];
    let logits = logits_after(&prompt);
    let draws = 8192;
    let requests: Vec<Request> = (0..draws / 64).map(|seed| request(prompt.clone(), 64, 1, seed as u64)).collect();
    let answers = answer_all(&mut Recalling::default(), &text(), Limits::default(), requests, &mut |_| {}).unwrap();
    let mut counts = [0.0_f64; VOCABULARY];
    for answered in answers.iter().flatten() {
        counts[answered.tokens[0].token as usize] += 1.0;
        assert!((answered.tokens[0].log_prob - answered.tokens[0].sampling_log_prob).abs() < 1e-5);
    }
    let probability = |token: usize| (f64::from(logits[token]) - normaliser(&logits)).exp();
    let mut tokens: Vec<usize> = (0..VOCABULARY).collect();
    tokens.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let rest: Vec<usize> = tokens.split_off(30);
    let part = |tokens: &[usize]| {
        let expected = f64::from(draws) * tokens.iter().map(|&token| probability(token)).sum::<f64>();
        let seen: f64 = tokens.iter().map(|&token| counts[token]).sum();
        (seen - expected).powi(2) / expected
    };
    let chi_square: f64 = tokens.iter().map(|&token| part(&[token])).sum::<f64>() + part(&rest);
    // The 99 % point for 30 degrees of freedom.
    assert!(chi_square < 50.9, "{chi_square}");
}

fn service(engine: Recalling, queue: usize) -> EngineService {
    let limits = Limits { context: 600, cache_tokens: 2048, samples: 4, prompt_tokens: 256 };
    EngineService::start(Box::new(engine), text(), limits, queue).unwrap()
}

#[test]
fn a_service_answers_refuses_fails_drains_and_changes_weights() {
    let slow = Recalling { pause: Duration::from_millis(2), ..Recalling::default() };
    let service = service(slow, 3);
    let (sender, events) = channel();
    let submit = |seed: u64| {
        let sender = sender.clone();
        let sink = Box::new(move |event| sender.send((seed, event)).is_ok());
        service.submit(request(vec![1, 2, 3], 4, 30, seed), sink)
    };
    let mut tickets = Vec::new();
    let mut refused = 0;
    for seed in 0..12 {
        match submit(seed) {
            Ok(ticket) => tickets.push((seed, ticket)),
            Err(Refusal::Busy { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0 && tickets.len() >= 3, "{refused} refused");
    assert!(tickets.iter().all(|(_, ticket)| ticket.weight_version() == 0));
    assert_eq!(service.replace(Box::new(Recalling::default())).unwrap(), 1);
    assert_eq!(service.weight_version(), 1);
    assert!(submit(50).is_ok_and(|ticket| {
        assert_eq!(ticket.weight_version(), 1);
        tickets.push((50, ticket));
        true
    }));
    service.drain();
    let done: Vec<u64> = events.try_iter().filter(|(_, event)| *event == Event::Done).map(|(seed, _)| seed).collect();
    assert_eq!(done.len(), tickets.len(), "every accepted request is answered");
    assert!(matches!(submit(99), Err(Refusal::Closed)));
}

#[test]
fn a_failing_model_fails_the_requests_in_hand_and_no_others() {
    let service = service(Recalling { fails_at: Some(3), ..Recalling::default() }, 8);
    let ask = |seed| {
        let (sender, events) = channel();
        let sink = Box::new(move |event| sender.send(event).is_ok());
        let _ticket = service.submit(request(vec![1, 2, 3], 1, 30, seed), sink).unwrap();
        events.iter().find(|event| matches!(event, Event::Done | Event::Failed(_))).unwrap()
    };
    assert!(matches!(ask(1), Event::Failed(reason) if reason.contains("the weights are gone")));
    assert_eq!(ask(2), Event::Done);
}
