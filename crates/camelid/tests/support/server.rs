//! An OpenAI-compatible server that follows a plan.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

/// What the server does with a question: a status and a body, or nothing at all.
type Plan = dyn Fn(&str) -> (u16, String) + Send + Sync;

pub(crate) struct Server {
    /// Up to and with `/v1`.
    pub(crate) address: String,
    asked: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn new(plan: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/v1", listener.local_addr().unwrap());
        let (asked, plan): (Arc<AtomicUsize>, Arc<Plan>) = (Arc::default(), Arc::new(plan));
        let counter = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (counter, plan) = (Arc::clone(&counter), Arc::clone(&plan));
                std::thread::spawn(move || serve(stream, &counter, plan.as_ref()));
            }
        });
        Self { address, asked }
    }

    /// Questions so far.
    pub(crate) fn count(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// One request a connection.
fn serve(mut stream: TcpStream, counter: &AtomicUsize, plan: &Plan) {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    let body = loop {
        let Ok(read @ 1..) = stream.read(&mut part) else { return };
        bytes.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_ascii_lowercase().lines().find_map(|line| {
            line.strip_prefix("content-length:").and_then(|length| length.trim().parse::<usize>().ok())
        });
        if body.len() >= length.unwrap_or_default() {
            break body.to_owned();
        }
    };
    counter.fetch_add(1, Ordering::SeqCst);
    let (status, answer) = plan(&body);
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    );
}

/// An answer that ended by itself.
pub(crate) fn said(text: &str) -> (u16, String) {
    ended(text, "stop")
}

/// An answer that ended for some reason.
pub(crate) fn ended(text: &str, finish: &str) -> (u16, String) {
    let message = json!({"role": "assistant", "content": text});
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
    let choices = json!([{"index": 0, "message": message, "finish_reason": finish}]);
    (200, json!({"id": "1", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage}).to_string())
}
