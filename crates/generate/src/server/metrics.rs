//! Counters, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::Server;
use crate::Load;

/// What a server counts itself; the rest is the engine's.
#[derive(Default)]
pub(super) struct Metrics {
    /// By address and status.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    unfinished: AtomicU64,
    latency: Histogram,
    pub(super) first_token: Histogram,
}

/// Counts a request once its status is known.
pub(super) async fn count(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    // Only known addresses, so that strangers cannot grow the table.
    let path = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    *server.metrics.requests.lock().unwrap_or_else(PoisonError::into_inner).entry((path, status)).or_default() += 1;
    response
}

impl Metrics {
    /// A request that was accepted has ended.
    pub(super) fn ended(&self, after: Duration, finished: bool) {
        if finished {
            self.latency.observe(after);
        } else {
            self.unfinished.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn text(&self, load: &Load, weight_version: u64) -> String {
        let mut text = String::new();
        let mut put = |name: &str, kind: &str, help: &str, value: u64| {
            // Writing to a string cannot fail.
            let _ =
                write!(text, "# HELP camelid_{name} {help}\n# TYPE camelid_{name} {kind}\ncamelid_{name} {value}\n");
        };
        put("requests_waiting", "gauge", "Requests that wait for a place in the batch.", load.waiting as u64);
        put("samples_running", "gauge", "Samples in the batch.", load.running as u64);
        put("cache_tokens_used", "gauge", "Tokens of cache in use.", load.cache_used as u64);
        put("cache_tokens_size", "gauge", "Tokens of cache in all.", load.cache_size as u64);
        put("prompt_tokens_total", "counter", "Tokens of prompts.", load.prompt_tokens);
        put(
            "cached_prompt_tokens_total",
            "counter",
            "Tokens of prompts found in the cache.",
            load.cached_prompt_tokens,
        );
        put("sampled_tokens_total", "counter", "Tokens produced.", load.sampled_tokens);
        put("weight_version", "gauge", "Version of the weights that answer.", weight_version);
        let unfinished = self.unfinished.load(Ordering::Relaxed);
        put("requests_unfinished_total", "counter", "Accepted requests that were cancelled or failed.", unfinished);
        text.push_str("# HELP camelid_requests_total Requests by address and status.\n");
        text.push_str("# TYPE camelid_requests_total counter\n");
        for ((path, status), count) in &*self.requests.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = writeln!(text, "camelid_requests_total{{path=\"{path}\",status=\"{status}\"}} {count}");
        }
        self.latency.write("request_seconds", "Time from a request's arrival to the end of its answer.", &mut text);
        self.first_token.write("first_token_seconds", "Time from a request's arrival to its first token.", &mut text);
        text
    }
}

/// Upper ends of the buckets, in seconds.
const ENDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// How often which times occurred.
#[derive(Default)]
pub(super) struct Histogram {
    /// Each counts what fell between the end before and its own; the last, what was longer than all.
    counts: [AtomicU64; ENDS.len() + 1],
    microseconds: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, time: Duration) {
        let bucket = ENDS.partition_point(|&end| end < time.as_secs_f64());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    fn write(&self, name: &str, help: &str, text: &mut String) {
        let _ = write!(text, "# HELP camelid_{name} {help}\n# TYPE camelid_{name} histogram\n");
        let mut sum = 0;
        for (place, count) in self.counts.iter().enumerate() {
            sum += count.load(Ordering::Relaxed);
            let end = ENDS.get(place).map_or("+Inf".to_owned(), ToString::to_string);
            let _ = writeln!(text, "camelid_{name}_bucket{{le=\"{end}\"}} {sum}");
        }
        let seconds = self.microseconds.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = write!(text, "camelid_{name}_sum {seconds}\ncamelid_{name}_count {sum}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let histogram = Histogram::default();
        for milliseconds in [5, 6, 400_000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let mut text = String::new();
        histogram.write("t", "Times.", &mut text);
        for line in
            ["{le=\"0.005\"} 1", "{le=\"0.01\"} 2", "{le=\"300\"} 2", "{le=\"+Inf\"} 3", "t_sum 400.011", "t_count 3"]
        {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
