//! Server and client over real connections, with an engine that answers from a script.

mod answers;
mod client;
mod errors;
mod life;
mod load;
#[path = "../support/recalling.rs"]
mod recalling;
mod replies;
mod support;
