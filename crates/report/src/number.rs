//! Numbers as people read them.

/// Four significant digits, in scientific notation where that is shorter; whole numbers in full.
pub fn format_number(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "not a number".to_owned()
        } else {
            format!("{}infinite", if value < 0.0 { "-" } else { "" })
        };
    }
    let size = value.abs();
    if size == 0.0 || (value.fract() == 0.0 && size < 1e9) {
        // Minus zero is zero.
        return format!("{:.0}", value + 0.0);
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.3e}").replace(".000e", "e");
    }
    let digits = (3 - size.log10().floor() as i32).max(0) as usize;
    trim(&format!("{value:.digits$}"))
}

/// Without zeros at the end of what follows the point.
pub(crate) fn trim(number: &str) -> String {
    let trimmed = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    if trimmed == "-0" { "0".to_owned() } else { trimmed.to_owned() }
}

/// Coordinates are quotients: numbers at the ends of the range would make them infinite.
pub(crate) fn is_drawable(value: f64) -> bool {
    value == 0.0 || (1e-100..=1e100).contains(&value.abs())
}

#[cfg(test)]
mod tests {
    use super::format_number;

    #[test]
    fn four_digits_are_kept() {
        for (value, words) in [
            (0.0, "0"),
            (-0.0, "0"),
            (12345.0, "12345"),
            (0.69318, "0.6932"),
            (1.5, "1.5"),
            (123.456, "123.5"),
            (99_999.6, "100000"),
            (2e-4, "0.0002"),
            (2e-5, "2e-5"),
            (1.2346e-7, "1.235e-7"),
            (4.2e12, "4.200e12"),
            (-0.05, "-0.05"),
            (f64::NAN, "not a number"),
            (f64::NEG_INFINITY, "-infinite"),
        ] {
            assert_eq!(format_number(value), words, "{value}");
        }
    }
}
