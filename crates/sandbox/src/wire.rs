//! What caller and helper say to each other: JSON, a line each.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::layer::{Layer, LayerReport};
use crate::limits::{Limits, Strictness};
use crate::outcome::Status;
use crate::python::Python;

/// The helper's task.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) source: String,
    pub(crate) python: Python,
    pub(crate) limits: Limits,
    pub(crate) strictness: Strictness,
    pub(crate) without: Vec<Layer>,
    /// An empty folder of this run's own, where the private root is mounted or, without one, files lie.
    pub(crate) scratch: PathBuf,
}

/// What the helper and the processes under it report.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The helper is in a new user namespace and waits for [`Mapped`].
    NeedsMap,
    Layer(LayerReport),
    /// The interpreter starts now.
    Starting,
    /// Strict, and something essential is missing.
    Declined,
    Failed {
        what: String,
        why: String,
    },
    Ended {
        status: Status,
        refused: Vec<String>,
        cpu: Duration,
    },
}

/// The caller's answer to [`Message::NeedsMap`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Mapped {
    /// The superuser's two users: itself and nobody.
    WithNobody,
    /// One user, its own number inside.
    Alone,
    /// None could be written.
    Not,
}

/// Writes `value` and a line's end in one call, so that lines of several writers do not mix.
pub(crate) fn send(mut to: impl Write, value: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Reads a line; `None` at the end.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl BufRead) -> std::io::Result<Option<T>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&line)?))
}
