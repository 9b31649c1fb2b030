//! What judges' verdicts are worth, and what they say of models.
//!
//! A judge compares two outputs. Its verdict may depend on which it reads first and on which is longer, so it is asked
//! in both orders and measured against judges that look at nothing but the length.

pub mod both_orders;
pub mod calibration;
pub mod length_controlled;
pub mod win_rate;

/// One of two outputs, in the order of the data, not that of the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    First,
    Second,
}
