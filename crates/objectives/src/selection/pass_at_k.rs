//! Many tries at a problem that has a right answer: pass@k, and the answer that most samples agree on.
//!
//! **What it optimises.** Nothing; these are figures, and [`majority`] a way to answer (self-consistency).
//!
//! **When to use it.** From `n > k` samples of each problem, so that the figure varies less than from `k`. pass@k needs a
//! checker at hand; maj@k does not, and rises with `k` only where the right answer is the most frequent.
//!
//! **Formula.** `pass@k = 1 - C(n - c, k)/C(n, k)` for `c` right ones of `n`. maj@k is the probability that the right answer
//! has the most votes of `k` drawn without replacement from the `n`, a tie of `t` answers counting `1/t`.
//!
//! **Source.** Chen 2021 (arXiv 2107.03374), eq. 1; Wang 2022 (arXiv 2203.11171).
//!
//! **Reference numbers.** Both are `c/n` at `k = 1`.

/// The probability that one of `k` of the `n` samples is right. `None` unless `right ≤ n` and `1 ≤ k ≤ n`.
pub fn pass_at_k(n: usize, right: usize, k: usize) -> Option<f64> {
    if k == 0 || k > n || right > n {
        return None;
    }
    // C(n - c, k)/C(n, k) = Π_{i = n - c + 1}^{n} (1 - k/i); a factor is 0 where fewer than k are wrong.
    let all_wrong: f64 = (n - right + 1..=n).map(|i| (1.0 - k as f64 / i as f64).max(0.0)).product();
    Some(1.0 - all_wrong)
}

/// The index of the first sample with the most frequent answer; of answers as frequent, the one that came first.
pub fn majority<T: PartialEq>(answers: &[T]) -> Option<usize> {
    weighted_majority(answers, &vec![1.0; answers.len()])
}

/// The same with votes that weigh as much as, say, a reward model thinks of them.
pub fn weighted_majority<T: PartialEq>(answers: &[T], weights: &[f64]) -> Option<usize> {
    let mut votes: Vec<(usize, f64)> = Vec::new();
    for (sample, (answer, weight)) in answers.iter().zip(weights).enumerate() {
        match votes.iter_mut().find(|(first, _)| answers[*first] == *answer) {
            Some((_, sum)) => *sum += weight,
            None => votes.push((sample, *weight)),
        }
    }
    votes.into_iter().reduce(|best, other| if other.1 > best.1 { other } else { best }).map(|(first, _)| first)
}

/// maj@k, from how many samples gave each answer and which of these is right (`None` if no sample was). `None` unless
/// `1 ≤ k ≤` the number of samples.
pub fn majority_at_k(counts: &[usize], right: Option<usize>, k: usize) -> Option<f64> {
    let n: usize = counts.iter().sum();
    if k == 0 || k > n {
        return None;
    }
    let Some(&of_right) = right.and_then(|right| counts.get(right)) else { return Some(0.0) };
    let mut log_factorials = vec![0.0; n + 1];
    for i in 1..=n {
        log_factorials[i] = log_factorials[i - 1] + (i as f64).ln();
    }
    let log_choose = |n: usize, k: usize| log_factorials[n] - log_factorials[k] - log_factorials[n - k];
    // The probability that `hits` of `draws` from `pool` are among its `marked`.
    let share = |pool: usize, marked: usize, draws: usize, hits: usize| -> f64 {
        if hits > marked || hits > draws || draws - hits > pool - marked {
            return 0.0;
        }
        (log_choose(marked, hits) + log_choose(pool - marked, draws - hits) - log_choose(pool, draws)).exp()
    };
    let others: Vec<usize> =
        counts.iter().enumerate().filter(|&(answer, _)| Some(answer) != right).map(|(_, &count)| count).collect();
    let wins = (1..=of_right.min(k)).map(|votes| {
        // Probability of each (draws that are left, answers that tie), given that no other has more votes.
        let most_ties = others.len().min((k - votes) / votes);
        let mut states = vec![vec![0.0; most_ties + 1]; k - votes + 1];
        states[k - votes][0] = share(n, of_right, k, votes);
        let mut pool = n - of_right;
        for &count in &others {
            let mut next = vec![vec![0.0; most_ties + 1]; k - votes + 1];
            for (left, ties) in states.iter().enumerate() {
                for hits in 0..=count.min(votes).min(left) {
                    let probability = share(pool, count, left, hits);
                    for (tied, before) in ties.iter().enumerate().filter(|(_, before)| **before > 0.0) {
                        next[left - hits][tied + usize::from(hits == votes)] += before * probability;
                    }
                }
            }
            (states, pool) = (next, pool - count);
        }
        states[0].iter().enumerate().map(|(tied, probability)| probability / (tied + 1) as f64).sum::<f64>()
    });
    Some(wins.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subsets(count: usize, size: usize) -> Vec<Vec<usize>> {
        let of = |bits: u32| (0..count).filter(|&index| bits >> index & 1 == 1).collect();
        (0..1_u32 << count).filter(|bits| bits.count_ones() as usize == size).map(of).collect()
    }

    /// O10.
    #[test]
    fn pass_at_k_is_the_mean_over_all_subsets() {
        for right in 0..=7 {
            for k in 1..=7 {
                let all = subsets(7, k);
                let passed = all.iter().filter(|subset| subset.iter().any(|&sample| sample < right)).count();
                let ours = pass_at_k(7, right, k).unwrap();
                assert!((ours - passed as f64 / all.len() as f64).abs() < 1e-12, "{right} {k}");
            }
        }
        assert_eq!([pass_at_k(5, 1, 0), pass_at_k(5, 1, 6), pass_at_k(5, 6, 1)], [None; 3]);
        assert!((pass_at_k(100_000, 1, 1).unwrap() - 1e-5).abs() < 1e-12);
    }

    /// O10.
    #[test]
    fn majority_at_k_is_the_mean_over_all_subsets() {
        for answers in ["aabbccd", "aaaabbb", "abcdefg", "bbbbbba", "bbbcccc"] {
            let answers: Vec<char> = answers.chars().collect();
            let counts: Vec<usize> =
                ('a'..='g').map(|answer| answers.iter().filter(|&&given| given == answer).count()).collect();
            for k in 1..=7 {
                let all = subsets(7, k);
                let won = all.iter().map(|subset| {
                    let votes = |answer: char| subset.iter().filter(|&&sample| answers[sample] == answer).count();
                    let most = ('a'..='g').map(votes).max().unwrap();
                    let tied = ('a'..='g').filter(|&answer| votes(answer) == most).count();
                    if votes('a') == most { 1.0 / tied as f64 } else { 0.0 }
                });
                let expected = won.sum::<f64>() / all.len() as f64;
                let ours = majority_at_k(&counts, Some(0), k).unwrap();
                assert!((ours - expected).abs() < 1e-12, "{answers:?} {k}: {ours} is not {expected}");
            }
        }
        assert_eq!(majority_at_k(&[2, 3], None, 3), Some(0.0));
        assert_eq!([majority_at_k(&[2, 3], Some(0), 0), majority_at_k(&[2, 3], Some(0), 6)], [None; 2]);
    }

    #[test]
    fn many_votes_stay_numbers() {
        let ours = majority_at_k(&[600, 250, 150], Some(0), 101).unwrap();
        assert!(ours > 0.999_9 && ours <= 1.0 + 1e-9, "{ours}");
    }

    #[test]
    fn votes() {
        assert_eq!(majority(&["7", "12", "12", "7", "12"]), Some(1));
        assert_eq!(majority(&["7", "12", "12", "7"]), Some(0));
        assert_eq!(majority::<u8>(&[]), None);
        assert_eq!(weighted_majority(&["7", "12", "12"], &[0.9, 0.3, 0.4]), Some(0));
    }
}
