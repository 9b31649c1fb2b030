//! One file a command.

pub(crate) mod bench_decode;
pub(crate) mod bench_gemm;
pub(crate) mod bench_recipe;
pub(crate) mod bench_step;
pub(crate) mod chat;
pub(crate) mod completions;
mod engine;
mod examples;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod inspect_batch;
pub(crate) mod inspect_data;
pub(crate) mod inspect_model;
pub(crate) mod inspect_run;
pub(crate) mod label;
pub(crate) mod new;
pub(crate) mod plan;
mod prepare;
pub(crate) mod report;
mod reward_report;
pub(crate) mod run;
pub(crate) mod score;
pub(crate) mod serve;
pub(crate) mod sweep;
mod task;
mod value_model;
mod watch;
