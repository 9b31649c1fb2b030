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

/// Takes what all sequences begin with out of what is learned: the prompt of responses of which nobody said where it
/// ends. No token is dropped.
pub fn learn_where_they_differ(sequences: &mut [Encoded]) {
    let Some((first, others)) = sequences.split_first() else { return };
    let agree = |other: &Encoded| first.tokens.iter().zip(&other.tokens).take_while(|(a, b)| a == b).count();
    let shared = others.iter().map(agree).min().unwrap_or(0);
    for sequence in sequences {
        sequence.weights[..shared].fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_beginning_is_not_learned_and_not_dropped() {
        let sequence =
            |tokens: &[u32]| Encoded { tokens: tokens.to_vec(), weights: vec![1.0; tokens.len()], record: 0 };
        let mut group = [sequence(&[1, 2, 3, 4]), sequence(&[1, 2, 5])];
        learn_where_they_differ(&mut group);
        assert_eq!(group[0].tokens, [1, 2, 3, 4]);
        assert_eq!((&group[0].weights[..], &group[1].weights[..]), (&[0.0, 0.0, 1.0, 1.0][..], &[0.0, 0.0, 1.0][..]));
    }
}
