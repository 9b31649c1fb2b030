//! Memory of this process as the operating system counts it.

/// Most resident memory so far, in megabytes of 2^20 bytes; 0 where the system does not say.
pub(crate) fn peak_megabytes() -> f64 {
    status("VmHWM:").unwrap_or(0.0)
}

/// Resident memory now, in megabytes of 2^20 bytes; 0 where the system does not say.
pub(crate) fn resident_megabytes() -> f64 {
    status("VmRSS:").unwrap_or(0.0)
}

fn status(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes: f64 =
        status.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes / 1024.0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn the_peak_is_at_least_what_was_touched() {
        let before = super::peak_megabytes();
        let touched = vec![1_u8; 64 << 20];
        assert!(touched.iter().all(|&byte| byte == 1));
        assert!(before > 1.0 && super::peak_megabytes() >= 64.0);
        assert!(super::resident_megabytes() >= 64.0, "what was touched is there still: {}", touched.len());
    }
}
