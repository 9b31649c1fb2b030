//! How a server is asked.

use std::time::Duration;

use camelid_generate::client::{Price, RemoteSettings};
use clap::Args;

/// Holds the key of a server that is asked.
const KEY_VARIABLE: &str = "OPENAI_API_KEY";

#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArgs {
    /// Ask the OpenAI-compatible server at this address, up to and with its /v1, instead of loading the model; its key is read from
    /// `OPENAI_API_KEY`
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Requests that the server is asked at once
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) concurrency: usize,
    /// Requests that the server is sent in a minute at most
    #[arg(long, requires = "server", value_name = "N")]
    pub(crate) requests_per_minute: Option<u32>,
    /// Tokens of prompts and answers that the server is asked for in a minute at most
    #[arg(long, requires = "server", value_name = "N")]
    pub(crate) tokens_per_minute: Option<u32>,
    /// Attempts for each request, with longer and longer waits between them; 6 when left out
    #[arg(long, requires = "server", value_name = "N")]
    pub(crate) attempts: Option<u32>,
    /// Seconds that one attempt may take; 600 when left out
    #[arg(long, requires = "server", value_name = "SECONDS")]
    pub(crate) request_timeout: Option<u64>,
    /// What a million tokens of prompts and of answers cost, such as 0.15,0.60; what was spent is told at the end
    #[arg(long, requires = "server", value_name = "PROMPT,ANSWER", value_parser = price)]
    pub(crate) price: Option<Price>,
}

/// `prompt,answer`.
fn price(text: &str) -> Result<Price, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|price| price.is_finite() && *price >= 0.0);
    let prices = text.split_once(',').and_then(|(prompt, answer)| Some((number(prompt)?, number(answer)?)));
    let (prompt, completion) = prices.ok_or("write two numbers from 0 up, such as 0.15,0.60")?;
    Ok(Price { prompt, completion })
}

impl ServerArgs {
    /// No server.
    pub(crate) fn none() -> Self {
        Self {
            server: None,
            concurrency: 1,
            requests_per_minute: None,
            tokens_per_minute: None,
            attempts: None,
            request_timeout: None,
            price: None,
        }
    }

    /// How the named server is to be asked for a model; nothing where none is named. A server on one's own machine asks for no key.
    pub(crate) fn settings(&self, model: &str) -> Option<RemoteSettings> {
        let plain = RemoteSettings::new(self.server.as_deref()?, model);
        let key_variable =
            std::env::var_os(KEY_VARIABLE).filter(|key| !key.is_empty()).map(|_| KEY_VARIABLE.to_owned());
        Some(RemoteSettings {
            concurrency: self.concurrency,
            key_variable,
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            attempts: self.attempts.unwrap_or(plain.attempts),
            timeout: self.request_timeout.map_or(plain.timeout, Duration::from_secs),
            price: self.price,
            ..plain
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_what_the_client_is_given() {
        assert_eq!(ServerArgs::none().settings("m"), None);
        let args = ServerArgs {
            server: Some("http://localhost/v1".into()),
            requests_per_minute: Some(60),
            tokens_per_minute: Some(9000),
            attempts: Some(2),
            request_timeout: Some(5),
            price: price("0.15, 0.6").ok(),
            concurrency: 3,
        };
        let found = args.settings("m").unwrap();
        assert_eq!((found.requests_per_minute, found.tokens_per_minute, found.concurrency), (Some(60), Some(9000), 3));
        assert_eq!((found.attempts, found.timeout), (2, Duration::from_secs(5)));
        assert_eq!(found.price, Some(Price { prompt: 0.15, completion: 0.6 }));
        for text in ["1", "1,-1", "a,b", "1,inf"] {
            assert!(price(text).is_err(), "{text}");
        }
    }
}
