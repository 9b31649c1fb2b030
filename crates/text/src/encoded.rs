//! A record as tokens.

/// A tokenised record and what of it is learned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    pub tokens: Vec<u32>,
    /// Weight of each token as a prediction target, as many as tokens; `weights[0]` is 0, as nothing predicts it.
    pub weights: Vec<f32>,
    /// Index of the record it came from.
    pub record: u32,
}

impl Encoded {
    /// How many tokens are learned.
    pub fn trained(&self) -> usize {
        self.weights.iter().filter(|weight| **weight != 0.0).count()
    }

    /// Ranges of consecutive learned tokens.
    pub fn learned_spans(&self) -> Vec<std::ops::Range<usize>> {
        let mut spans: Vec<std::ops::Range<usize>> = Vec::new();
        for (index, _) in self.weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
            match spans.last_mut() {
                Some(span) if span.end == index => span.end += 1,
                _ => spans.push(index..index + 1),
            }
        }
        spans
    }
}
