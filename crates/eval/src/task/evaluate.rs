//! A task, asked and judged.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::exemplars::Pool;
use super::scored::rung_name;
use super::{
    Answerer, CodeRunner, Context, Failure, FailureKind, Item, Reply, Request, Resolved, Scored, Task, TaskError,
    summarise,
};
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

    /// Asks all items and judges the replies: the task's figures, without the time, and its items in their order. `progress`
    /// hears how many items have come to their end and how many of them without a reply. An item without a reply, for
    /// whatever reason, is an item with an error.
    pub fn evaluate(
        &self,
        answerer: &mut dyn Answerer,
        mut runner: Option<&mut (dyn CodeRunner + '_)>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(TaskResult, Vec<results::Item>), TaskError> {
        let mut requests = self.requests()?;
        let mut scored: Vec<Option<Scored>> = self.items.iter().map(|_| None).collect();
        let mut said: Vec<Vec<String>> = vec![Vec::new(); self.items.len()];
        let (mut ended, mut failed) = (0, 0);
        let mut open: Vec<usize> = (0..self.items.len()).collect();
        while !open.is_empty() {
            let asked: Vec<Request> = open.iter().map(|&place| requests[place].clone()).collect();
            let mut replies: Vec<Option<Result<Reply, Failure>>> = open.iter().map(|_| None).collect();
            let mut next = Vec::new();
            let mut take = |index: usize, reply: Result<Reply, Failure>| {
                let (Some(&place), Some(slot)) = (open.get(index), replies.get_mut(index)) else { return };
                let item = &self.items[place];
                *slot = Some(reply.clone());
                if let Ok(Reply::Answer(answer)) = &reply
                    && let Some(following) =
                        self.task.next_turn(item, &requests[place], &answer.text, said[place].len() + 1)
                {
                    said[place].push(answer.text.clone());
                    next.push((place, following));
                    return;
                }
                failed += usize::from(reply.is_err());
                ended += 1;
                let mut judged = self.task.score(item, &reply, runner.as_deref_mut());
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
                    scored[place] = Some(self.task.score(&self.items[place], &Err(missing.clone()), None));
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
        let judged: Vec<(&Item, &Request, &Scored)> = self
            .items
            .iter()
            .zip(&requests)
            .zip(&scored)
            .filter_map(|((item, request), scored)| Some((item, request, scored.as_ref()?)))
            .collect();
        let lines: Vec<(&Item, &Scored)> = judged.iter().map(|(item, _, scored)| (*item, *scored)).collect();
        let figures = summarise(self.task, &lines);
        Ok((figures, judged.iter().map(|(item, request, scored)| line(self.task, item, request, scored)).collect()))
    }
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
