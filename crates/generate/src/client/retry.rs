//! When to try again.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// Whether the same request might succeed later: a time-out, too many requests, or the server's own trouble.
pub(super) fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

/// How long to wait after an attempt, counted from 1: twice as long each time, spread by `share` (0 to 1) over half to
/// all of it so that many clients do not come back together. A server's own wish is a lower bound.
pub(super) fn wait(attempt: u32, first: Duration, longest: Duration, share: f64, wish: Option<Duration>) -> Duration {
    let doubled = first.saturating_mul(1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    let spread = doubled.min(longest).mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0);
    wish.map_or(spread, |wish| wish.max(spread))
}

/// A `Retry-After` header: seconds or a date.
pub(super) fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    let date = rfc2822::parse(header).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_spread_and_end() {
        let at =
            |attempt, share| wait(attempt, Duration::from_secs(1), Duration::from_secs(10), share, None).as_secs_f64();
        assert_eq!([at(1, 0.0), at(1, 1.0), at(3, 0.5), at(9, 1.0), at(90, 1.0)], [0.5, 1.0, 3.0, 10.0, 10.0]);
    }

    #[test]
    fn a_servers_wish_is_the_least() {
        let wish = Some(Duration::from_secs(7));
        let second = Duration::from_secs(1);
        assert_eq!(wait(1, second, second, 1.0, wish), Duration::from_secs(7));
        assert_eq!(wait(4, second, Duration::from_mins(1), 1.0, wish), Duration::from_secs(8));
    }

    #[test]
    fn seconds_and_dates_are_read() {
        let now: Timestamp = "1994-11-06T08:49:07Z".parse().unwrap();
        let read = |header| retry_after(header, now);
        assert_eq!(read("30"), Some(Duration::from_secs(30)));
        assert_eq!(read("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        for nonsense in ["soon", "", "NaN", "inf", "1e400"] {
            assert!(read(nonsense).is_none_or(|wait| wait == Duration::ZERO), "{nonsense}");
        }
    }
}
