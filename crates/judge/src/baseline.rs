//! Judges without a model: what a real one must be better than.

use camelid_eval::judging::Output;
use camelid_records::{Assessment, Verdict};

use crate::case::{Case, Order};

/// A judge that looks at one thing only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The longer output, in characters; equal ones tie.
    Longer,
    Shorter,
    /// Whatever is read first.
    FirstRead,
    /// A coin for each order, from the case's text.
    Random,
}

impl Baseline {
    pub const ALL: [Self; 4] = [Self::Longer, Self::Shorter, Self::FirstRead, Self::Random];

    pub fn name(self) -> &'static str {
        match self {
            Self::Longer => "always-longer",
            Self::Shorter => "always-shorter",
            Self::FirstRead => "always-first",
            Self::Random => "random",
        }
    }

    pub fn judge(self, case: &Case) -> Assessment {
        match self {
            Self::Longer => Assessment::same(longer(case.lengths())),
            Self::Shorter => {
                let [first, second] = case.lengths();
                Assessment::same(longer([second, first]))
            }
            Self::FirstRead => Assessment::of(Verdict::First.into(), Verdict::Second.into()),
            Self::Random => {
                let [as_given, swapped] = Order::BOTH.map(|order| {
                    let text = format!("{order:?}\n{}\n{}", case.instruction(), case.output(Output::First));
                    let heads = blake3::hash(text.as_bytes()).as_bytes()[0] & 1 == 1;
                    if heads { Verdict::First } else { Verdict::Second }
                });
                Assessment::of(as_given.into(), swapped.into())
            }
        }
    }
}

fn longer([first, second]: [usize; 2]) -> Verdict {
    match first.cmp(&second) {
        std::cmp::Ordering::Greater => Verdict::First,
        std::cmp::Ordering::Less => Verdict::Second,
        std::cmp::Ordering::Equal => Verdict::Tie,
    }
}
