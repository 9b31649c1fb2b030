//! A model whose logits are a function of the whole sequence: whoever mixes up rows, spans or positions gets other tokens.

use std::time::Duration;

use camelid_model::{Generate, Logits, ModelError, Piece, Wanted};

/// Remembers which token is in which row of its cache.
pub(crate) struct Recalling {
    pub(crate) rows: Vec<u32>,
    pub(crate) steps: usize,
    pub(crate) vocabulary: usize,
    pub(crate) pause: Duration,
    pub(crate) fails_at: Option<usize>,
}

impl Recalling {
    /// That of the small tokenizer.
    pub(crate) const VOCABULARY: usize = 259;
}

impl Default for Recalling {
    fn default() -> Self {
        Self { rows: Vec::new(), steps: 0, vocabulary: Self::VOCABULARY, pause: Duration::ZERO, fails_at: None }
    }
}

/// Logits after a sequence: any function of all its tokens.
pub(crate) fn logits_after(sequence: &[u32], vocabulary: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for &token in sequence {
        state = (state ^ u64::from(token)).wrapping_mul(0xd129_42f0_32f9_6cb5).rotate_left(29);
    }
    let logit = |token: u64| {
        let mixed = (state ^ token.wrapping_mul(0x2545_f491_4f6c_dd1d)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        (mixed >> 40) as f32 / 4_000_000.0
    };
    (0..vocabulary as u64).map(logit).collect()
}

pub(crate) fn normaliser(logits: &[f32]) -> f64 {
    logits.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>().ln()
}

impl Generate for Recalling {
    fn open_cache(&mut self, rows: usize, _longest: usize) {
        self.rows = vec![u32::MAX; rows];
    }

    fn close_cache(&mut self) {
        self.rows.clear();
    }

    fn cache_row_bytes(&self) -> usize {
        4
    }

    fn max_positions(&self) -> usize {
        100_000
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn extend(&mut self, pieces: &[Piece<'_>]) -> Result<Logits, ModelError> {
        self.steps += 1;
        std::thread::sleep(self.pause);
        if self.fails_at == Some(self.steps) {
            return Err(ModelError::Invalid { reason: "the weights are gone".into(), fix: "bring them back".into() });
        }
        for piece in pieces {
            for (offset, &token) in piece.tokens.iter().enumerate() {
                self.rows[piece.row as usize + offset] = token;
            }
        }
        let mut logits = Logits { vocabulary: self.vocabulary, ..Logits::default() };
        for piece in pieces {
            let mut sequence = Vec::new();
            for span in piece.context {
                assert_eq!(span.position as usize, sequence.len(), "spans cover every position once");
                sequence.extend_from_slice(&self.rows[span.row as usize..(span.row + span.len) as usize]);
            }
            assert_eq!(piece.position as usize, sequence.len());
            for (offset, &token) in piece.tokens.iter().enumerate() {
                sequence.push(token);
                let last = offset + 1 == piece.tokens.len();
                if piece.wanted == Wanted::All || (piece.wanted == Wanted::Last && last) {
                    let values = logits_after(&sequence, self.vocabulary);
                    logits.log_normalisers.push(normaliser(&values));
                    logits.values.extend(values);
                }
            }
        }
        Ok(logits)
    }
}
