//! Which record comes when: a pure function of the seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A random stream of the run, by name.
pub fn stream(seed: u64, label: &str) -> ChaCha8Rng {
    let key = blake3::Hasher::new().update(&seed.to_le_bytes()).update(label.as_bytes()).finalize();
    ChaCha8Rng::from_seed(*key.as_bytes())
}

/// A number below `count`, each as likely as another.
pub fn below(random: &mut ChaCha8Rng, count: usize) -> usize {
    // Multiply-shift: the bias is below 2^-32 for any count in memory.
    ((u128::from(random.next_u64()) * count as u128) >> 64) as usize
}

/// A number from 0 to below 1.
pub(crate) fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A permutation of `0 .. count` (Fisher-Yates), the same for the same stream for ever.
pub(crate) fn permutation(count: usize, mut random: ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, below(&mut random, last + 1));
    }
    order
}

/// Records in training order. Each epoch is shuffled anew; a place is `epoch · count + index`.
pub struct Order {
    seed: u64,
    count: usize,
    epoch: u64,
    permutation: Vec<usize>,
}

impl Order {
    pub fn new(seed: u64, count: usize) -> Self {
        Self { seed, count, epoch: 0, permutation: permutation(count, stream(seed, "order 0")) }
    }

    /// The record at a place.
    pub fn record(&mut self, place: u64) -> usize {
        let epoch = place / self.count as u64;
        if epoch != self.epoch {
            self.epoch = epoch;
            self.permutation = permutation(self.count, stream(self.seed, &format!("order {epoch}")));
        }
        self.permutation[(place % self.count as u64) as usize]
    }
}

/// Splits `0 .. count` into training and validation records, both ascending.
pub fn split(seed: u64, count: usize, validation_share: f64) -> (Vec<usize>, Vec<usize>) {
    let held_out = (count as f64 * validation_share).round() as usize;
    let mut order = permutation(count, stream(seed, "validation split"));
    let mut training = order.split_off(held_out.min(count));
    order.sort_unstable();
    training.sort_unstable();
    (training, order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_every_record_once_in_another_order() {
        let mut order = Order::new(5, 10);
        let epoch = |order: &mut Order, first: u64| (first..first + 10).map(|p| order.record(p)).collect::<Vec<_>>();
        let (first, second) = (epoch(&mut order, 0), epoch(&mut order, 10));
        assert_ne!(first, second);
        for mut seen in [first.clone(), second] {
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
        }
        assert_eq!(epoch(&mut Order::new(5, 10), 0), first);
    }

    #[test]
    fn the_order_of_a_seed_is_fixed_for_good() {
        let mut order = Order::new(0, 8);
        let first: Vec<usize> = (0..8).map(|place| order.record(place)).collect();
        let again: Vec<usize> = permutation(8, stream(0, "order 0"));
        assert_eq!(first, again);
        assert_eq!(stream(0, "order 0").next_u64(), stream(0, "order 0").next_u64());
        assert_ne!(stream(0, "order 0").next_u64(), stream(1, "order 0").next_u64());
    }

    #[test]
    fn a_split_holds_out_the_share_and_loses_nothing() {
        let (training, validation) = split(3, 100, 0.05);
        assert_eq!((training.len(), validation.len()), (95, 5));
        let mut all = [training, validation].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert!(split(3, 100, 0.0).1.is_empty());
    }
}
