//! A task, asked and judged.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::exemplars::Pool;
use super::scored::rung_name;
use super::{
    Answerer, CodeRunner, Context, Draw, Failure, FailureKind, Item, Rater, Reply, Request, Resolved, Sampling, Scored,
    Task, TaskError, samples, summarise,
};
use crate::aggregation::hints::{self, Next};
use crate::results::{self, TaskResult};

/// What a task is asked with.
pub struct Asked<'a> {
    pub task: &'a Task,
    pub items: &'a [Item],
    /// What exemplars are taken from.
    pub pool: &'a [Item],
    /// Ready exemplars by group.
    pub texts: &'a BTreeMap<String, String>,
    pub resolved: Resolved,
}

impl Asked<'_> {
    /// What each item is asked; of several turns, the first.
    pub fn requests(&self) -> Result<Vec<Request>, TaskError> {
        let exemplars = Pool::new(self.task, self.pool, self.texts, &self.resolved);
        self.items.iter().map(|item| self.task.request(item, &exemplars, &self.resolved)).collect()
    }

    /// How many answers each item has.
    pub fn samples(&self) -> usize {
        self.resolved.sampling.map_or(1, |sampling| sampling.samples)
    }

    /// Asks all items and judges the replies: the task's figures, without the time, and its items in their order. `progress`
    /// hears how many answers have come to their end and how many of them without a reply. An item without a reply, for
    /// whatever reason, is an item with an error. Where items have several answers, a rater is asked about them.
    pub fn evaluate(
        &self,
        answerer: &mut dyn Answerer,
        mut runner: Option<&mut (dyn CodeRunner + '_)>,
        rater: Option<&mut (dyn Rater + '_)>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(TaskResult, Vec<results::Item>), TaskError> {
        let copies = self.samples();
        let mut requests = drawn(self.requests()?, self.resolved.sampling, self.resolved.seed);
        let first = requests.clone();
        let item_of = |place: usize| &self.items[place / copies];
        let mut scored: Vec<Option<Scored>> = requests.iter().map(|_| None).collect();
        let mut said: Vec<Vec<String>> = vec![Vec::new(); requests.len()];
        let mut found: Vec<Vec<Option<String>>> = vec![Vec::new(); requests.len()];
        let (mut ended, mut failed) = (0, 0);
        let mut open: Vec<usize> = (0..requests.len()).collect();
        while !open.is_empty() {
            let asked: Vec<Request> = open.iter().map(|&place| requests[place].clone()).collect();
            let mut replies: Vec<Option<Result<Reply, Failure>>> = open.iter().map(|_| None).collect();
            let mut next = Vec::new();
            let mut take = |index: usize, reply: Result<Reply, Failure>| {
                let (Some(&place), Some(slot)) = (open.get(index), replies.get_mut(index)) else { return };
                *slot = Some(reply.clone());
                if let Ok(Reply::Answer(answer)) = &reply
                    && let Some(following) =
                        self.task.next_turn(item_of(place), &requests[place], &answer.text, said[place].len() + 1)
                {
                    said[place].push(answer.text.clone());
                    next.push((place, following));
                    return;
                }
                let mut judged = self.task.score(item_of(place), &reply, runner.as_deref_mut());
                if let (Some(most), Ok(_)) = (self.resolved.hints, &reply) {
                    found[place].push(judged.extracted.clone());
                    if let Next::Ask(hint) = hints::next(&found[place], most) {
                        said[place].push(judged.answer.clone());
                        next.push((place, Task::hinted(&first[place], &hint)));
                        return;
                    }
                    judged.details.insert("asked".into(), json!(found[place].len()));
                }
                failed += usize::from(reply.is_err());
                ended += 1;
                let earlier = std::mem::take(&mut said[place]);
                if !earlier.is_empty() {
                    judged.details.insert("earlier_answers".into(), json!(earlier));
                }
                scored[place] = Some(judged);
                progress(ended, failed);
            };
            let outcome = answerer.answer(&asked, &mut take);
            let missing = outcome.err().unwrap_or_else(|| Failure {
                kind: FailureKind::Server,
                message: "the model gave no reply".to_owned(),
            });
            for index in 0..asked.len() {
                if replies[index].is_none() {
                    let place = open[index];
                    scored[place] = Some(self.task.score(item_of(place), &Err(missing.clone()), None));
                    ended += 1;
                    failed += 1;
                    progress(ended, failed);
                }
            }
            next.sort_by_key(|(place, _)| *place);
            open = next.iter().map(|(place, _)| *place).collect();
            for (place, request) in next {
                requests[place] = request;
            }
        }
        // Each has been answered or has failed.
        let scored: Vec<Scored> = scored.into_iter().flatten().collect();
        let scored = if copies > 1 { self.combined(&requests, &scored, rater)? } else { scored };
        let lines: Vec<(&Item, &Scored)> = self.items.iter().zip(&scored).collect();
        let mut figures = summarise(self.task, &lines);
        if copies > 1 {
            figures.metric = samples::metric(&self.task.definition.score, copies);
        }
        let requests = requests.iter().step_by(copies);
        let lines = lines.iter().zip(requests).map(|((item, scored), request)| line(self.task, item, request, scored));
        Ok((figures, lines.collect()))
    }

    /// The answers of each item as one.
    fn combined(
        &self,
        requests: &[Request],
        scored: &[Scored],
        rater: Option<&mut (dyn Rater + '_)>,
    ) -> Result<Vec<Scored>, TaskError> {
        let contexts = requests.iter().filter_map(|request| match request {
            Request::Generate { context, .. } => Some(context),
            Request::Choices { .. } | Request::Text { .. } => None,
        });
        let answers: Vec<(&Context, &str)> =
            contexts.zip(scored).map(|(context, scored)| (context, scored.answer.as_str())).collect();
        let ratings = rater.map(|rater| rater.rate(&answers)).transpose();
        let ratings = ratings.map_err(|failure| {
            self.task
                .wrong(failure.message, "the answers are kept: run the same command with another rater, or with none")
        })?;
        let copies = self.samples();
        let of = |(place, samples): (usize, &[Scored])| {
            let ratings = ratings.as_ref().map(|all| &all[place * copies..][..samples.len()]);
            samples::combine(&self.task.definition.score, samples, ratings)
        };
        Ok(scored.chunks(copies).enumerate().map(of).collect())
    }
}

/// Each request as often as it is to be answered, each time with a draw of its own.
fn drawn(requests: Vec<Request>, sampling: Option<Sampling>, seed: u64) -> Vec<Request> {
    let Some(Sampling { samples, temperature, top_p }) = sampling else { return requests };
    let copies = |request: Request| {
        (0..samples as u64).map(move |number| {
            let mut request = request.clone();
            if let Request::Generate { draw, .. } = &mut request {
                *draw = Some(Draw { temperature, top_p, seed: seed.wrapping_mul(1_000_003).wrapping_add(number) });
            }
            request
        })
    };
    requests.into_iter().flat_map(copies).collect()
}

/// An item as `items/TASK.jsonl` holds it.
fn line(task: &Task, item: &Item, request: &Request, scored: &Scored) -> results::Item {
    let prompt = match request {
        Request::Choices { contexts, .. } => contexts.first().map(Context::shown).unwrap_or_default(),
        Request::Generate { context, .. } => context.shown(),
        Request::Text { text } => text.clone(),
    };
    let mut details = scored.details.clone();
    for (name, (above, below)) in &scored.also {
        details.insert((*name).to_owned(), if *below == 1.0 { json!(above) } else { json!([above, below]) });
    }
    if let Some(group) = &item.group {
        details.insert("group".into(), json!(group));
    }
    results::Item {
        task: task.name().to_owned(),
        item: item.id.clone(),
        cluster: item.cluster.clone(),
        prompt,
        answer: scored.answer.clone(),
        reference: Json::from(scored.reference.clone()),
        extracted: json!(scored.extracted),
        rung: scored.rung.map(|rung| rung_name(rung).to_owned()),
        score: scored.score,
        status: scored.status,
        details: Json::Object(details),
    }
}
