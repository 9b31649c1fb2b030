//! Typed training records, and the readers and writers of the formats in which they come.

mod dataset;
mod error;
mod format;
mod read;
mod record;

pub use dataset::{Dataset, ReadOptions, Reject};
pub use error::RecordError;
pub use format::Format;
pub use read::read;
pub use record::{Conversation, Message, Provenance, Record, Role};
