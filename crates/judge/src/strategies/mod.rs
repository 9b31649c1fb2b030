//! One file a strategy.
//!
//! | name | asks | verdict | source |
//! |---|---|---|---|
//! | `vanilla` | which is better | letter, log-probabilities | LLMBar |
//! | `rules` | the same under three rules | letter, log-probabilities | LLMBar |
//! | `cot` | reasons, then a verdict | `Verdict: A` | LLMBar |
//! | `metrics` | questions that matter here, then a letter | letter, log-probabilities | LLMBar |
//! | `reference` | an answer of the judge's own, then a letter | letter, log-probabilities | LLMBar |
//! | `metrics-reference` | both, then a letter | letter, log-probabilities | LLMBar |
//! | `swap` | reasons in both orders; after a contradiction a review of both | letter | LLMBar |
//! | `swap-cot` | the same with a reasoned review | `Verdict: A` | LLMBar |
//! | `rating` | a grade from 0 to 9 of each output alone | number | LLMBar |
//! | `few-shot` | rules and two worked examples | letter, log-probabilities | LLMBar |
//! | `panel` | three roles who talk, then vote | `Verdict: A` | ChatEval |
//! | `faireval` | evidence, then scores; three samples in each order | `Score A: 7` | FairEval |
//! | `mt-bench` | a comparison with reasons | `[[A]]` | MT-Bench |
//! | `mt-bench-reference` | the same with a right answer | `[[A]]` | MT-Bench |
//! | `mt-bench-single` | a grade from 1 to 10 of each output alone | `[[7]]` | MT-Bench |
//! | `alpaca-eval` | which of two models people would prefer | `m` or `M`, log-probabilities | AlpacaEval |
//! | `ai-feedback` | which is preferred, as soft labels | `1` or `2`, log-probabilities | RLAIF |

mod ai_feedback;
mod alpaca_eval;
mod chain_of_thought;
mod faireval;
mod few_shot;
mod metrics;
mod metrics_reference;
mod mt_bench;
mod mt_bench_single;
mod panel;
mod rating;
mod reference;
mod replies;
mod rules;
mod swap;
mod vanilla;
mod wording;

use crate::strategy::Strategy;

pub use faireval::FairEval;
pub use replies::Alone;

/// Every strategy, with its settings as published.
pub(crate) fn all() -> Vec<Box<dyn Strategy>> {
    vec![
        Box::new(vanilla::Vanilla),
        Box::new(rules::Rules),
        Box::new(chain_of_thought::ChainOfThought),
        Box::new(metrics::Metrics),
        Box::new(reference::Reference),
        Box::new(metrics_reference::MetricsReference),
        Box::new(swap::Swap { reasoned: false }),
        Box::new(swap::Swap { reasoned: true }),
        Box::new(rating::Rating),
        Box::new(few_shot::FewShot),
        Box::new(panel::Panel),
        Box::new(FairEval::default()),
        Box::new(mt_bench::MtBench { with_reference: false }),
        Box::new(mt_bench::MtBench { with_reference: true }),
        Box::new(mt_bench_single::MtBenchSingle),
        Box::new(alpaca_eval::AlpacaEval),
        Box::new(ai_feedback::AiFeedback),
    ]
}
