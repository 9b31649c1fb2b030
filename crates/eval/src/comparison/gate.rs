//! Whether an ability was kept: its loss is shown to be below a margin.
//!
//! **Three verdicts.** Kept: the loss is below the margin, one-sided at `α`. Lost: it is above it. Not shown: neither, at so many items;
//! a gate that cannot tell does not pass. Several abilities need no correction for the pass: all must be kept, and a battery with an
//! ability that lost its margin passes with probability at most `α` (an intersection-union test, Berger 1982).
//!
//! **Extraction.** Scores speak of an ability only where answers can be read. Below [`LOWEST_RATE`](crate::extraction::rate::LOWEST_RATE)
//! on either side, or where more than a tenth of the items cannot be compared, the gate does not pass whatever the scores are.

use serde::Serialize;

use super::{Difference, Joined};
use crate::extraction::rate::LOWEST_RATE;
use crate::results::{Extraction, Item};
use crate::statistics::non_inferiority::{self, NonInferiority, Verdict};
use crate::statistics::power::Design;

/// How a gate is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateDesign {
    /// The most that may be lost, in units of the score.
    pub margin: f64,
    /// How often a loss of the margin may pass.
    pub alpha: f64,
    /// How often a gate of the needed size shall pass what lost nothing.
    pub power: f64,
}

/// The outcome for one ability.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub margin: f64,
    pub difference: Difference,
    pub test: NonInferiority,
    /// The largest loss that the scores do not rule out, one-sided at `α`; below 0 it is a gain.
    pub largest_loss: Option<f64>,
    /// Items with which the gate would pass as often as its power says, had nothing been lost; only where it is not shown.
    pub needed: Option<usize>,
    pub extraction: [Extraction; 2],
    /// Why the scores may not speak of the ability.
    pub objections: Vec<String>,
}

impl Outcome {
    pub fn passed(&self) -> bool {
        self.test.verdict == Verdict::Kept && self.objections.is_empty()
    }

    pub fn word(&self) -> Word {
        match self.test.verdict {
            Verdict::Kept => Word::Kept,
            Verdict::Lost => Word::Lost,
            Verdict::Undecided => Word::NotShown,
        }
    }
}

/// A verdict as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    Kept,
    Lost,
    NotShown,
}

impl Word {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Lost => "lost",
            Self::NotShown => "not shown",
        }
    }
}

/// One ability through the gate; all items of each side count for its extraction rate. `None` without items in common, or for a
/// margin, `α` or power outside `(0, 1)`.
pub fn gate(joined: &Joined<'_>, sides: [&[Item]; 2], design: GateDesign) -> Option<Outcome> {
    let difference = Difference::of(&joined.scores())?;
    let test = test(&difference, design)?;
    let extraction = sides.map(Extraction::of);
    let mut objections = Vec::new();
    for (side, counts) in ["before", "after"].into_iter().zip(extraction) {
        if let Some(rate) = counts.rate().filter(|&rate| rate < LOWEST_RATE) {
            let percent = 100.0 * rate;
            let Extraction { empty, truncated, unparsed, .. } = counts;
            objections.push(format!(
                "{side}: {percent:.1} % of the answers can be read ({empty} empty, {truncated} cut off, {unparsed} without an answer)"
            ));
        }
    }
    if let Some(share) = joined.comparable().filter(|&share| share < LOWEST_RATE) {
        objections.push(format!(
            "{:.1} % of the items can be compared ({} without a score on one side, {} whose expected answer changed)",
            100.0 * share,
            joined.unscored,
            joined.changed
        ));
    }
    let largest_loss = one_sided_bound(&difference, design.alpha).map(|low| -low);
    let needed = (test.verdict == Verdict::Undecided).then(|| needed(&difference, design)).flatten();
    Some(Outcome { margin: design.margin, difference, test, largest_loss, needed, extraction, objections })
}

/// The test alone.
pub fn test(difference: &Difference, design: GateDesign) -> Option<NonInferiority> {
    match (difference.answers, difference.mean) {
        (Some(pairs), _) => non_inferiority::of_answers(pairs, design.margin, design.alpha, difference.clustering),
        (None, Some(mean)) => non_inferiority::of_scores(&mean, design.margin, design.alpha),
        // One item whose score is neither right nor wrong: nothing can be said, and 1 is said of it.
        (None, None) => {
            Some(NonInferiority { difference: difference.value, p_value: 1.0, verdict: Verdict::Undecided })
        }
    }
}

/// The lower end of the interval that leaves out `α` on that side.
fn one_sided_bound(difference: &Difference, alpha: f64) -> Option<f64> {
    let confidence = 1.0 - 2.0 * alpha;
    let interval = match difference.answers {
        Some(pairs) => pairs.interval(confidence, difference.clustering),
        None => difference.mean?.interval(confidence),
    };
    interval.map(|interval| interval.low)
}

fn needed(difference: &Difference, GateDesign { margin, alpha, power }: GateDesign) -> Option<usize> {
    if let Some(pairs) = difference.answers {
        return pairs.needed_for_gate(margin, alpha, power, difference.clustering);
    }
    // One-sided at α is two-sided at 2α.
    let by_variance = difference.needed_count(Design { alpha: 2.0 * alpha, power }, margin)?;
    Some(by_variance.max(non_inferiority::fewest_items(margin, alpha)?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::join;
    use super::*;
    use crate::results::Status;

    const DESIGN: GateDesign = GateDesign { margin: 0.03, alpha: 0.05, power: 0.8 };

    /// Items of which the first `lost` are wrong after and right before, the next `won` the other way round.
    fn sides(count: usize, lost: usize, won: usize) -> [Vec<Item>; 2] {
        let item = |index: usize, score: f64| Item {
            task: "t".into(),
            item: index.to_string(),
            cluster: None,
            prompt: String::new(),
            answer: String::new(),
            reference: json!("r"),
            extracted: Value::Null,
            rung: None,
            score: Some(score),
            status: Status::Ok,
            details: Value::Null,
        };
        let before = (0..count).map(|i| item(i, f64::from(u8::from(!(lost..lost + won).contains(&i))))).collect();
        let after = (0..count).map(|i| item(i, f64::from(u8::from(i >= lost)))).collect();
        [before, after]
    }

    fn outcome(sides: &[Vec<Item>; 2]) -> Outcome {
        gate(&join(&sides[0], &sides[1]), [&sides[0], &sides[1]], DESIGN).unwrap()
    }

    #[test]
    fn three_verdicts() {
        let kept = outcome(&sides(1000, 60, 60));
        assert_eq!((kept.word(), kept.passed(), kept.needed), (Word::Kept, true, None));
        // 0 - 1.645 · √(0.12/1000)
        assert!((kept.largest_loss.unwrap() - 0.018).abs() < 5e-4, "{kept:?}");
        let lost = outcome(&sides(1000, 150, 60));
        assert_eq!((lost.word(), lost.passed()), (Word::Lost, false));
        let few = outcome(&sides(200, 12, 12));
        assert_eq!((few.word(), few.passed()), (Word::NotShown, false));
        // (1.645 + 0.842)² · 0.12/0.03² = 825, and a little more for the correction and the variance under the margin.
        assert!((825..900).contains(&few.needed.unwrap()), "{few:?}");
    }

    #[test]
    fn the_needed_items_are_enough() {
        let few = outcome(&sides(50, 0, 0));
        assert_eq!(few.word(), Word::NotShown);
        let enough = outcome(&sides(few.needed.unwrap(), 0, 0));
        assert_eq!(enough.word(), Word::Kept);
        assert_eq!(outcome(&sides(few.needed.unwrap() - 1, 0, 0)).word(), Word::NotShown);
    }

    #[test]
    fn answers_that_cannot_be_read_do_not_pass() {
        let mut sides = sides(1000, 0, 0);
        for item in &mut sides[1][..101] {
            item.status = Status::Truncated;
        }
        let outcome = outcome(&sides);
        assert_eq!((outcome.word(), outcome.passed()), (Word::Kept, false));
        assert_eq!(
            outcome.objections,
            ["after: 89.9 % of the answers can be read (0 empty, 101 cut off, 0 without an answer)"]
        );
    }

    #[test]
    fn items_that_failed_do_not_pass_unseen() {
        let mut sides = sides(1000, 0, 0);
        for item in &mut sides[0][..200] {
            (item.status, item.score) = (Status::Error, None);
        }
        let outcome = outcome(&sides);
        assert!(!outcome.passed() && outcome.objections[0].starts_with("80.0 % of the items can be compared"));
        assert_eq!(outcome.difference.count, 800);
    }
}
