//! What is written at an axis's ticks.
//!
//! The plotting library chooses where ticks stand; it writes three decimals at most, which names neighbours alike on an axis from
//! 0.8431 to 0.8435. Here the number of digits comes from the axis's range.

use crate::number::trim;

/// The label of the tick at `value` on an axis that shows `low` to `high`.
pub(crate) fn linear_label(low: f64, high: f64, value: f64) -> String {
    // A step is at least a fiftieth of the range and has up to two digits, as 2.5 has.
    let finest = ((high - low).abs() / 50.0).log10().floor();
    let largest = low.abs().max(high.abs());
    if value == 0.0 || !finest.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { trim(&format!("{value:.3}")) };
    }
    if (1e-3..1e6).contains(&largest) {
        let decimals = (-finest).clamp(0.0, 15.0) as usize;
        return trim(&format!("{value:.decimals$}"));
    }
    let digits = (value.abs().log10().floor() - finest).clamp(0.0, 15.0) as usize;
    scientific(&format!("{value:.digits$e}"))
}

/// As [`linear_label`], on a logarithmic axis, whose ticks are 1 to 9 times a power of ten.
pub(crate) fn logarithmic_label(value: f64) -> String {
    if (1e-3..1e5).contains(&value) { trim(&format!("{value:.4}")) } else { scientific(&format!("{value:.1e}")) }
}

fn scientific(number: &str) -> String {
    match number.split_once('e') {
        Some((mantissa, exponent)) => format!("{}e{exponent}", trim(mantissa)),
        None => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use kuva::render::render_utils::generate_ticks;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever an axis shows, its ticks are in it, go up, and no two are called the same; each name is near its value.
        #[test]
        fn ticks_have_names_of_their_own(middle in -1e4_f64..1e4, exponent in -6_i32..8, share in 0.1_f64..1.0) {
            let half = share * 10_f64.powi(exponent);
            let (low, high) = (middle - half, middle + half);
            let ticks = generate_ticks(low, high, 5);
            prop_assert!(ticks.len() >= 2, "{ticks:?}");
            let labels: Vec<String> = ticks.iter().map(|&tick| linear_label(low, high, tick)).collect();
            for (pair, label) in ticks.windows(2).zip(labels.windows(2)) {
                prop_assert!(pair[0] < pair[1]);
                prop_assert_ne!(&label[0], &label[1], "{:?}", labels);
            }
            let step = ticks[1] - ticks[0];
            for (tick, label) in ticks.iter().zip(&labels) {
                prop_assert!(low <= *tick && *tick <= high);
                let read: f64 = label.parse().unwrap();
                prop_assert!((read - tick).abs() <= step * 0.06, "{label} at {tick}");
            }
        }
    }

    #[test]
    fn labels_are_as_short_as_they_can_be() {
        assert_eq!(linear_label(0.0, 10.0, 2.5), "2.5");
        assert_eq!(linear_label(0.8431, 0.8435, 0.8432), "0.8432");
        assert_eq!(linear_label(0.0, 2e-4, 5e-5), "5e-5");
        assert_eq!(linear_label(0.0, 4e7, 1e7), "1e7");
        assert_eq!(linear_label(-1.0, 1.0, 0.0), "0");
        assert_eq!(logarithmic_label(1e-5), "1e-5");
        assert_eq!(logarithmic_label(0.5), "0.5");
        assert_eq!(logarithmic_label(2e6), "2e6");
    }
}
