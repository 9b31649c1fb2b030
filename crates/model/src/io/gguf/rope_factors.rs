//! `rope_freqs.weight`: llama.cpp's form of Llama 3's rotary scaling, a divisor for each frequency.
//!
//! The checkpoint's form is four numbers (`transformers`, `rope_type = "llama3"`): wavelengths below
//! `original / high` keep their frequency, wavelengths above `original / low` are divided by `factor`, and those
//! between are interpolated.

use std::f64::consts::TAU;

/// Llama 3's scaling as the checkpoint states it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Llama3Scaling {
    pub(crate) factor: f64,
    pub(crate) low_freq_factor: f64,
    pub(crate) high_freq_factor: f64,
    pub(crate) original_positions: f64,
}

impl Llama3Scaling {
    /// The divisors of the `head_dim / 2` frequencies.
    pub(crate) fn divisors(self, theta: f64, head_dim: usize) -> Vec<f32> {
        (0..head_dim / 2)
            .map(|index| {
                let wavelength = TAU * theta.powf((2 * index) as f64 / head_dim as f64);
                if wavelength < self.original_positions / self.high_freq_factor {
                    return 1.0;
                }
                if wavelength > self.original_positions / self.low_freq_factor {
                    return self.factor as f32;
                }
                let smooth = (self.original_positions / wavelength - self.low_freq_factor)
                    / (self.high_freq_factor - self.low_freq_factor);
                (1.0 / ((1.0 - smooth) / self.factor + smooth)) as f32
            })
            .collect()
    }

    /// The scaling that has these divisors, if it is one of Llama 3's: the file does not keep the four numbers, and
    /// all released models share three of them (1, 4 and a power of two).
    pub(crate) fn from_divisors(divisors: &[f32], theta: f64) -> Option<Self> {
        let factor = f64::from(divisors.iter().copied().fold(1.0_f32, f32::max));
        (10..=17).map(|power| f64::from(1_u32 << power)).find_map(|original_positions| {
            let scaling = Self { factor, low_freq_factor: 1.0, high_freq_factor: 4.0, original_positions };
            let expected = scaling.divisors(theta, 2 * divisors.len());
            let agree = expected.iter().zip(divisors).all(|(a, b)| (a - b).abs() <= 1e-3 * a.abs());
            agree.then_some(scaling)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scaling_is_found_again_from_its_divisors() {
        for (factor, theta, original_positions) in [(8.0, 5e5, 8192.0), (32.0, 5e5, 8192.0), (4.0, 1e4, 2048.0)] {
            let scaling = Llama3Scaling { factor, low_freq_factor: 1.0, high_freq_factor: 4.0, original_positions };
            let divisors = scaling.divisors(theta, 64);
            assert!(divisors.contains(&1.0) && divisors.contains(&(factor as f32)));
            assert_eq!(Llama3Scaling::from_divisors(&divisors, theta), Some(scaling));
        }
        assert_eq!(Llama3Scaling::from_divisors(&[1.0, 3.0, 2.0, 3.0], 1e4), None);
    }
}
