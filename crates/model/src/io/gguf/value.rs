//! Metadata values of a GGUF file.

/// A metadata value. Integer and float widths are forgotten: readers only care about the number.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    Array(Array),
}

/// A list of metadata values.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Booleans are stored as 0 and 1.
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Vec<String>),
    Lists(Vec<Array>),
}

impl Value {
    /// A non-negative integer.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A number, whole or not.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_texts(&self) -> Option<&[String]> {
        match self {
            Self::Array(Array::Texts(texts)) => Some(texts),
            _ => None,
        }
    }

    pub fn as_integers(&self) -> Option<&[i64]> {
        match self {
            Self::Array(Array::Integers(numbers)) => Some(numbers),
            _ => None,
        }
    }

    pub fn as_floats(&self) -> Option<&[f64]> {
        match self {
            Self::Array(Array::Floats(numbers)) => Some(numbers),
            _ => None,
        }
    }
}
