//! Requests written byte by byte, for what no well-behaved client sends.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{Failure, failed};
use super::target::Target;

/// Where a server listens, without encryption.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    host: String,
    /// Header lines that carry the key.
    key: String,
    prefix: String,
}

/// What came back: 0 where the connection was closed without a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) text: String,
}

/// After so long a connection counts as hanging.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

impl Address {
    pub(crate) fn of(target: &Target) -> anyhow::Result<Self> {
        let url = Url::parse(&target.base)?;
        ensure!(
            url.scheme() == "http",
            "--soak speaks no https\n  fix: give the address of the server behind the encryption"
        );
        let host = url.host_str().context("the address has no host\n  fix: use one like http://localhost:8000/v1")?;
        let host = format!("{host}:{}", url.port_or_known_default().unwrap_or(80));
        let key = target.api_key.as_ref().map_or(String::new(), |key| format!("authorization: Bearer {key}\r\n"));
        Ok(Self { host, key, prefix: url.path().to_owned() })
    }

    pub(crate) async fn connect(&self) -> Result<TcpStream, Failure> {
        match timeout(PATIENCE, TcpStream::connect(&self.host)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => failed("cannot connect", error.to_string()),
            Err(_) => failed("cannot connect", "no reply in time"),
        }
    }

    /// A request's head for a body of `length` bytes.
    pub(crate) fn head(&self, method: &str, path: &str, length: usize) -> Vec<u8> {
        let Self { host, key, prefix } = self;
        let line = format!("{method} {prefix}{path} HTTP/1.1\r\nhost: {host}\r\n{key}connection: close\r\n");
        format!("{line}content-type: application/json\r\ncontent-length: {length}\r\n\r\n").into_bytes()
    }

    /// Opens a connection, sends a whole request and leaves the reply unread.
    pub(crate) async fn begin(&self, path: &str, body: &[u8]) -> Result<TcpStream, Failure> {
        let mut stream = self.connect().await?;
        let sent = async {
            stream.write_all(&self.head("POST", path, body.len())).await?;
            stream.write_all(body).await
        };
        match timeout(PATIENCE, sent).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(error)) => failed("request was not taken", error.to_string()),
            Err(_) => failed("request was not taken", "the server stopped reading"),
        }
    }

    /// Sends a request and reads all that comes back.
    pub(crate) async fn exchange(&self, method: &str, path: &str, body: &[u8]) -> Result<Answered, Failure> {
        let mut request = self.head(method, path, body.len());
        request.extend_from_slice(body);
        self.send(&request).await
    }

    /// Sends bytes, whatever they are, and reads all that comes back.
    pub(crate) async fn send(&self, bytes: &[u8]) -> Result<Answered, Failure> {
        let mut stream = self.connect().await?;
        // A server may answer and close before it has read everything.
        let _ = timeout(PATIENCE, stream.write_all(bytes)).await;
        read(&mut stream).await
    }
}

/// Reads until the server closes the connection.
pub(crate) async fn read(stream: &mut TcpStream) -> Result<Answered, Failure> {
    let mut bytes = Vec::new();
    // An error after the reply is the server closing on a request that it has not read to its end.
    if timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.is_err() {
        return failed("connection hangs", String::from_utf8_lossy(&bytes).chars().take(200).collect::<String>());
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Answered { status: status_of(&text), text })
}

/// The status of a reply; 0 without one.
pub(crate) fn status_of(reply: &str) -> u16 {
    reply.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_a_replys_first_line() {
        assert_eq!(status_of("HTTP/1.1 413 Payload Too Large\r\n"), 413);
        assert_eq!((status_of(""), status_of("HTTP/1.1 "), status_of("data: x")), (0, 0, 0));
    }
}
