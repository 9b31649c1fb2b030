//! Evidence first, then scores, several times in both orders; the mean decides, and what stays uncertain is for a person.
//!
//! **What it asks.** `k` samples at temperature 1 in each order: evidence, then a score from 1 to 10 for either output (multiple
//! evidence calibration). Scores are averaged over both orders (balanced position calibration). The entropy of the `2k` verdicts says
//! how far they differ; pairs with the highest are for a person (human in the loop), see [`crate::people`].
//!
//! **Verdict format.** Last lines `Score A: 7` and `Score B: 5`. An order's verdict is that of its mean scores; samples that cannot be
//! read are left out of the means, and an order without any is unparsed.
//!
//! **When to use it.** With judges that depend on the order, and people at hand for a fifth of the items.
//!
//! **Source.** Wang 2023 (arXiv 2305.17926), section 3; figures in [`camelid_eval::judging::calibration`].
//!
//! **Reference numbers.** ChatGPT against people on 80 questions: accuracy 44.4 plain, 58.7 calibrated, 71.3 with people for 20 %.

use camelid_eval::judging::calibration::{Evidence, Scores};
use camelid_records::{Assessment, Opinion, Reply, Verdict};

use super::wording::{COMPARER, REASONS, comparison, messages, parts};
use crate::case::{Case, Order};
use crate::parse;
use crate::strategy::{Expected, Question, Step, Strategy};

const ASK: &str = "\
Consider how helpful, relevant, accurate and detailed each output is. The order in which you read them must not matter. First lay out \
the evidence for your judgement in a few sentences. Then write two last lines, \"Score A: \" and \"Score B: \", each followed by a number \
from 1, the worst, to 10, the best.";

/// The strategy with its number of samples.
#[derive(Clone, Copy, Debug)]
pub struct FairEval {
    /// `k`, in each order.
    pub samples: usize,
    pub temperature: f32,
}

impl Default for FairEval {
    /// As published: three samples at temperature 1.
    fn default() -> Self {
        Self { samples: 3, temperature: 1.0 }
    }
}

/// The scores that the samples of one order name, in the order of the data.
fn scores(reply: Option<&Reply>, order: Order) -> Result<Vec<Scores>, Verdict> {
    let Some(Reply::Answered { texts, .. }) = reply else { return Err(Verdict::Failed) };
    let read = texts.iter().filter_map(|text| parse::scores(text, 1.0, 10.0));
    Ok(read.map(|scores| order.back(scores)).map(|[first, second]| Scores { first, second }).collect())
}

/// The verdict of the mean scores of one order.
fn opinion(scores: &Result<Vec<Scores>, Verdict>) -> Opinion {
    match scores {
        Err(failure) => (*failure).into(),
        Ok(scores) if scores.is_empty() => Verdict::Unparsed.into(),
        Ok(scores) => {
            let lead: f64 = scores.iter().map(|scores| scores.first - scores.second).sum();
            Verdict::of(0.5 + lead.clamp(-0.5, 0.5)).into()
        }
    }
}

impl Strategy for FairEval {
    fn name(&self) -> &'static str {
        "faireval"
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        let ask = |order: Order| {
            let mut all = comparison(case, order);
            all.push(ASK.to_owned());
            let (samples, temperature) = (self.samples, self.temperature);
            let answer = Expected::Text { max_tokens: REASONS, temperature, samples };
            Question { messages: messages(COMPARER, parts(&all)), answer }
        };
        let [replies, ..] = rounds else { return Step::Ask(Order::BOTH.map(ask).into()) };
        let [as_given, swapped] = [0, 1].map(|place| scores(replies.get(place), Order::BOTH[place]));
        let orders = Assessment::of(opinion(&as_given), opinion(&swapped));
        let evidence = Evidence { as_given: as_given.unwrap_or_default(), swapped: swapped.unwrap_or_default() };
        let calibrated = evidence.calibrated();
        Step::Done(Assessment {
            combined: calibrated
                .and_then(|scores| Verdict::of(0.5 + (scores.first - scores.second).clamp(-0.5, 0.5)).preference()),
            ratings: calibrated.map(|scores| [scores.first, scores.second]),
            entropy: calibrated.map(|_| evidence.diversity_entropy()),
            ..orders
        })
    }
}
