//! Judges with planted habits, their figures, and what may go wrong on the way.

mod certification;
mod failures;
mod figures;
mod planted;
mod prompts;
mod stub;
mod verdicts;
