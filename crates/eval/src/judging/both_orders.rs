//! A judge against labels, asked in both orders.
//!
//! **Formula.** Accuracy is the mean of those in the two orders; agreement is the share of items with the same verdict
//! in both. An unparsed verdict is wrong; two of them agree, which is how the published figures count.
//!
//! **Source.** Zeng 2023 (arXiv 2310.07641), section 4.
//!
//! **Reference numbers.** GPT-4 with metrics and reference: Natural 96.0 (agreement 96.0), Adversarial 82.8 (88.2).
//! Judges that always take the shorter output: Adversarial 82.0, Natural 43.5.

use super::Output;
use crate::statistics::paired::McNemar;

/// One item: which output is better, and what the judge said with the outputs as given and swapped. Verdicts name
/// outputs of the data, not places in the prompt; `None` is a verdict that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub label: Output,
    pub as_given: Option<Output>,
    pub swapped: Option<Output>,
}

impl Item {
    fn right_in(self) -> [bool; 2] {
        [self.as_given, self.swapped].map(|verdict| verdict == Some(self.label))
    }

    /// Whether it is right whatever the order.
    pub fn is_right_in_both(self) -> bool {
        self.right_in() == [true, true]
    }
}

/// Counts over a set; each of the first three is a share of `count`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub count: usize,
    pub right_as_given: usize,
    pub right_swapped: usize,
    pub right_in_both: usize,
    pub agreeing: usize,
    /// Verdicts for the output read first, of all that could be read, in both orders together.
    pub first_position: usize,
    pub unparsed: usize,
}

impl Report {
    pub fn of(items: &[Item]) -> Self {
        let mut report = Self { count: items.len(), ..Self::default() };
        for item in items {
            let [as_given, swapped] = item.right_in();
            report.right_as_given += usize::from(as_given);
            report.right_swapped += usize::from(swapped);
            report.right_in_both += usize::from(as_given && swapped);
            report.agreeing += usize::from(item.as_given == item.swapped);
            report.first_position += usize::from(item.as_given == Some(Output::First));
            report.first_position += usize::from(item.swapped == Some(Output::Second));
            report.unparsed += usize::from(item.as_given.is_none()) + usize::from(item.swapped.is_none());
        }
        report
    }

    fn share(part: usize, whole: usize) -> Option<f64> {
        (whole > 0).then(|| part as f64 / whole as f64)
    }

    pub fn accuracy(&self) -> Option<f64> {
        Self::share(self.right_as_given + self.right_swapped, 2 * self.count)
    }

    pub fn agreement(&self) -> Option<f64> {
        Self::share(self.agreeing, self.count)
    }

    /// A half for a judge to whom the order is nothing.
    pub fn first_position_rate(&self) -> Option<f64> {
        Self::share(self.first_position, 2 * self.count - self.unparsed)
    }

    pub fn parse_rate(&self) -> Option<f64> {
        Self::share(2 * self.count - self.unparsed, 2 * self.count)
    }
}

/// Items that only one of two judges gets right in both orders; `None` for lists of different lengths.
pub fn compare(first: &[Item], second: &[Item]) -> Option<McNemar> {
    let [first, second] =
        [first, second].map(|items| items.iter().map(|item| item.is_right_in_both()).collect::<Vec<_>>());
    McNemar::of(&first, &second)
}

#[cfg(test)]
mod tests {
    use super::Output::{First, Second};
    use super::*;

    #[test]
    fn four_items() {
        let item = |label, as_given, swapped| Item { label, as_given, swapped };
        let items = [
            item(First, Some(First), Some(First)),
            // Always the output read first: right in one order.
            item(Second, Some(First), Some(Second)),
            item(Second, None, None),
            item(First, None, Some(First)),
        ];
        let report = Report::of(&items);
        assert_eq!((report.right_as_given, report.right_swapped, report.right_in_both), (1, 3, 1));
        assert_eq!((report.accuracy(), report.agreement()), (Some(0.5), Some(0.5)));
        assert_eq!((report.first_position_rate(), report.parse_rate()), (Some(0.6), Some(0.625)));
        let right: Vec<Item> =
            items.iter().map(|item| Item { as_given: Some(item.label), swapped: Some(item.label), ..*item }).collect();
        assert_eq!(compare(&right, &items), Some(McNemar { only_first: 3, only_second: 0 }));
        assert_eq!(compare(&right, &items[1..]), None);
        assert_eq!(Report::default().accuracy(), None);
    }
}
