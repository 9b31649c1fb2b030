//! Cosines and sines of rotary embeddings (Su 2021, arXiv 2104.09864, equation 34), scaled where a model asks for it.

use std::f64::consts::PI;

use crate::arch::{Rope, RopeScaling};

/// `cos` and `sin`, each `[positions, rotary_dim / 2]`, row-major.
pub(crate) fn table(rope: Rope, rotary_dim: usize, positions: usize) -> (Vec<f32>, Vec<f32>) {
    let (frequencies, factor) = frequencies(rope, rotary_dim);
    // Angles are rounded to f32 before the cosine, as the peers do: far positions would differ otherwise.
    let angles = || {
        let frequencies = &frequencies;
        (0..positions).flat_map(move |p| frequencies.iter().map(move |&f| f64::from(p as f32 * f as f32)))
    };
    (angles().map(|a| (a.cos() * factor) as f32).collect(), angles().map(|a| (a.sin() * factor) as f32).collect())
}

/// Radians a position for each pair of dimensions, and the factor on cosine and sine.
fn frequencies(rope: Rope, rotary_dim: usize) -> (Vec<f64>, f64) {
    let plain = (0..rotary_dim / 2).map(|i| rope.theta.powf(-((2 * i) as f64) / rotary_dim as f64));
    match rope.scaling {
        RopeScaling::None => (plain.collect(), 1.0),
        RopeScaling::Linear { factor } => (plain.map(|f| f / factor).collect(), 1.0),
        RopeScaling::Llama3 { factor, low_frequency_factor, high_frequency_factor, original_positions } => {
            let scale = |frequency: f64| {
                let wavelength = 2.0 * PI / frequency;
                if wavelength < original_positions / high_frequency_factor {
                    return frequency;
                }
                if wavelength > original_positions / low_frequency_factor {
                    return frequency / factor;
                }
                let smooth = (original_positions / wavelength - low_frequency_factor)
                    / (high_frequency_factor - low_frequency_factor);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            };
            (plain.map(scale).collect(), 1.0)
        }
        RopeScaling::Yarn { factor, original_positions, beta_fast, beta_slow, attention_factor, truncate } => {
            let dim = rotary_dim as f64;
            // Dimension that turns `rotations` times over the original positions.
            let turning =
                |rotations: f64| dim * (original_positions / (rotations * 2.0 * PI)).ln() / (2.0 * rope.theta.ln());
            let (mut low, mut high) = (turning(beta_fast), turning(beta_slow));
            if truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            (low, high) = (low.max(0.0), high.min(dim - 1.0));
            let width = if high > low { high - low } else { 0.001 };
            let blend = |(i, frequency): (usize, f64)| {
                let interpolated = ((i as f64 - low) / width).clamp(0.0, 1.0);
                frequency / factor * interpolated + frequency * (1.0 - interpolated)
            };
            (plain.enumerate().map(blend).collect(), attention_factor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pair_turns_one_radian_a_position() {
        let (cos, sin) = table(Rope { theta: 10_000.0, scaling: RopeScaling::None }, 4, 3);
        assert!((cos[4] - 2f32.cos()).abs() < 1e-6 && (sin[4] - 2f32.sin()).abs() < 1e-6);
        // The second pair of two: theta^(-1/2) = 0.01.
        assert!((sin[5] - 0.02f32.sin()).abs() < 1e-7);
    }

    #[test]
    fn llama3_keeps_fast_dimensions_and_slows_slow_ones_by_the_factor() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_positions: 8192.0,
        };
        let (scaled, _) = frequencies(Rope { theta: 500_000.0, scaling }, 128);
        let (plain, _) = frequencies(Rope { theta: 500_000.0, scaling: RopeScaling::None }, 128);
        assert!((scaled[0] - plain[0]).abs() < 1e-15);
        assert!((scaled[63] - plain[63] / 8.0).abs() < 1e-15);
        assert!(scaled.windows(2).all(|pair| pair[1] < pair[0]));
    }
}
