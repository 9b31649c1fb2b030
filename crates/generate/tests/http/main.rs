//! Server and client over real connections, with an engine that answers from a script.

mod answers;
mod client;
mod errors;
mod life;
mod replies;
mod support;
