//! Random numbers that are a pure function of a seed and an index.
//!
//! A mask made this way needs no memory: the backward pass asks again and gets the same answer, on any backend and
//! with any number of threads.

/// `SplitMix64`'s finaliser (Steele 2014, "Fast splittable pseudorandom number generators") over seed and index.
#[inline(always)]
fn mix(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 64 random bits.
#[inline(always)]
pub(crate) fn bits(seed: u64, index: u64) -> u64 {
    mix(seed, index)
}

/// Uniform in [0, 1), a multiple of 2⁻²⁴.
#[inline(always)]
pub(crate) fn uniform(seed: u64, index: u64) -> f32 {
    (mix(seed, index) >> 40) as f32 * (1.0 / 16_777_216.0)
}

/// Whether dropout with probability `p` keeps this element.
#[inline(always)]
pub(crate) fn keep(seed: u64, index: u64, p: f32) -> bool {
    uniform(seed, index) >= p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_fixed_for_good() {
        // The first outputs of SplitMix64 seeded with 1234567 are published with its reference implementation.
        assert_eq!(mix(1_234_567, 0), 6_457_827_717_110_365_317);
        assert_eq!(mix(1_234_567, 1), 3_203_168_211_198_807_973);
        assert_eq!(mix(1_234_567, 2), 9_817_491_932_198_370_423);
    }

    #[test]
    fn a_tenth_is_dropped() {
        let dropped = (0..100_000).filter(|&i| !keep(42, i, 0.1)).count();
        // Four standard deviations of the count are 380.
        assert!(dropped.abs_diff(10_000) < 380, "{dropped}");
    }
}
