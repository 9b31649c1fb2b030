//! Models that answer an evaluation's requests: here, behind a server, or remembered.

mod cached;
mod likelihoods;
mod local;
mod remote;
mod stoppable;
mod windows;

pub(crate) use cached::Cached;
pub(crate) use local::Local;
pub(crate) use remote::Remote;
pub(crate) use stoppable::Stoppable;

use camelid_eval::task::{Speaker, Turn};
use camelid_records::{Message, Role};

pub(super) fn message(turn: &Turn) -> Message {
    let role = match turn.role {
        Speaker::System => Role::System,
        Speaker::User => Role::User,
        Speaker::Assistant => Role::Assistant,
    };
    Message::new(role, turn.content.clone())
}
