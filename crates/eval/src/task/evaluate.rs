//! A task, asked and judged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::exemplars::Pool;
use super::scored::rung_name;
use super::{
    Answerer, CodeRunner, Failure, FailureKind, Item, Reply, Request, Resolved, Scored, Status, Task, TaskError,
    TaskResult, summarise,
};

/// One item, as `items/TASK.jsonl` holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemLine {
    pub task: String,
    pub item: String,
    pub cluster: Option<String>,
    pub prompt: String,
    pub answer: String,
    pub reference: String,
    pub extracted: Option<String>,
    /// `strict`, `flexible` or `last-resort`; null for what was not looked for in a text.
    pub rung: Option<String>,
    pub score: Option<f64>,
    pub status: Status,
    pub details: Map<String, Json>,
}

/// Asks all items and judges the replies. `done` gets each line as soon as it is known, in any order, with its item's place.
///
/// `pool` holds the items that exemplars are taken from, `texts` ready exemplars by group. An item without a reply, for
/// whatever reason, is a line with an error.
#[allow(clippy::missing_panics_doc)]
pub fn evaluate(
    task: &Task,
    items: &[Item],
    pool: &[Item],
    texts: &BTreeMap<String, String>,
    resolved: &Resolved,
    answerer: &mut dyn Answerer,
    mut runner: Option<&mut (dyn CodeRunner + '_)>,
    done: &mut dyn FnMut(usize, &ItemLine),
) -> Result<TaskResult, TaskError> {
    let exemplars = Pool::new(task, pool, texts, resolved);
    let requests: Vec<Request> =
        items.iter().map(|item| task.request(item, &exemplars, resolved)).collect::<Result<_, _>>()?;
    let mut scored: Vec<Option<Scored>> = items.iter().map(|_| None).collect();
    let mut take = |place: usize, reply: Result<Reply, Failure>| {
        let (Some(item), Some(slot)) = (items.get(place), scored.get_mut(place)) else { return };
        let judged = task.score(item, &reply, runner.as_deref_mut());
        done(place, &line(task, item, &requests[place], &judged));
        *slot = Some(judged);
    };
    let ended = answerer.answer(&requests, &mut take);
    let left: Vec<usize> = (0..items.len()).filter(|&place| scored[place].is_none()).collect();
    let reason = ended.err().unwrap_or_else(|| Failure {
        kind: FailureKind::Server,
        message: "the model gave no reply".to_owned(),
    });
    for place in left {
        let judged = task.score(&items[place], &Err(reason.clone()), None);
        done(place, &line(task, &items[place], &requests[place], &judged));
        scored[place] = Some(judged);
    }
    let lines: Vec<(&Item, &Scored)> =
        items.iter().zip(&scored).filter_map(|(item, scored)| Some((item, scored.as_ref()?))).collect();
    Ok(summarise(task, &lines))
}

fn line(task: &Task, item: &Item, request: &Request, scored: &Scored) -> ItemLine {
    let prompt = match request {
        Request::Choices { contexts, .. } => contexts.first().map(super::Context::shown).unwrap_or_default(),
        Request::Generate { context, .. } => context.shown(),
        Request::Text { text } => text.clone(),
    };
    let mut details = scored.details.clone();
    for (name, (above, below)) in &scored.also {
        let value = if *below == 1.0 { serde_json::json!(above) } else { serde_json::json!([above, below]) };
        details.insert((*name).to_owned(), value);
    }
    ItemLine {
        task: task.name().to_owned(),
        item: item.id.clone(),
        cluster: item.cluster.clone(),
        prompt,
        answer: scored.answer.clone(),
        reference: scored.reference.clone(),
        extracted: scored.extracted.clone(),
        rung: scored.rung.map(|rung| rung_name(rung).to_owned()),
        score: scored.score,
        status: scored.status,
        details,
    }
}
