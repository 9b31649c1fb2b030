//! Windows of a text that is longer than the context.
//!
//! Each token is predicted once, the first one after `prefix`. Windows do not overlap, but that each begins with the token
//! before those it predicts; the last reaches back to be as long as the others.
//!
//! **Source.** `get_rolling_token_windows` of lm-evaluation-harness with one token of context.

/// Tokens of a window, and how many of its last ones are scored.
pub(super) type Window = (Vec<u32>, usize);

/// `longest` tokens are seen by a prediction at most. Without a prefix the first token is not scored.
pub(super) fn windows(tokens: &[u32], prefix: Option<u32>, longest: usize) -> Vec<Window> {
    let mut with_prefix: Vec<u32> = prefix.into_iter().collect();
    with_prefix.extend_from_slice(tokens);
    let total = with_prefix.len();
    let mut windows = Vec::new();
    // Places below this one are scored, or cannot be.
    let mut scored = 1;
    while scored < total {
        let end = total.min(scored + longest);
        let begin = end.saturating_sub(longest + 1);
        windows.push((with_prefix[begin..end].to_vec(), end - scored));
        scored = end;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_is_scored_once() {
        assert_eq!(windows(&[1, 2, 3], Some(0), 8), [(vec![0, 1, 2, 3], 3)]);
        let cut = windows(&[1, 2, 3, 4, 5], Some(0), 3);
        assert_eq!(cut, [(vec![0, 1, 2, 3], 3), (vec![2, 3, 4, 5], 2)]);
        assert_eq!(windows(&[1, 2], None, 3), [(vec![1, 2], 1)]);
        assert_eq!(windows(&[], Some(0), 3), []);
    }
}
