//! Tables of text, numbers and intervals.

use serde::Serialize;

use crate::number::format_number;

/// A cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Cell {
    Text(String),
    Number(f64),
    /// A value with its lowest and highest plausible one.
    Measured {
        value: f64,
        low: f64,
        high: f64,
    },
    Interval {
        low: f64,
        high: f64,
    },
    Missing,
}

impl Cell {
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub fn measured(value: f64, interval: Option<(f64, f64)>) -> Self {
        match interval {
            Some((low, high)) => Self::Measured { value, low, high },
            None => Self::Number(value),
        }
    }

    /// As people read it.
    pub fn words(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(value) => format_number(*value),
            Self::Measured { value, low, high } => {
                format!("{} [{}, {}]", format_number(*value), format_number(*low), format_number(*high))
            }
            Self::Interval { low, high } => format!("{} to {}", format_number(*low), format_number(*high)),
            Self::Missing => "–".to_owned(),
        }
    }
}

/// A table: every row has a cell for each column.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Table {
    pub caption: String,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}
