//! The server that is asked: one in this process, or one that runs already.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use camelid_generate::Service;
use camelid_generate::engine::{EngineService, Limits};
use camelid_generate::server::{Server, Settings, serve};
use camelid_kernels::Cpu;
use camelid_model::{Generate, Logits, ModelError, Piece, Transformer};
use camelid_text::Text;
use reqwest::{Client, Url};
use serde_json::Value as Json;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::{causes, http_client};

/// A server and how to reach it.
#[derive(Clone)]
pub(crate) struct Target {
    /// Up to and with `/v1`.
    pub(crate) base: String,
    /// `base` without the path.
    pub(crate) root: String,
    pub(crate) client: Client,
    pub(crate) api_key: Option<String>,
}

impl Target {
    fn new(base: &str, api_key: Option<&str>) -> anyhow::Result<Self> {
        let fix = "use one like http://localhost:8000/v1";
        let url = Url::parse(base).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.with_context(|| format!("`{base}` is no address\n  fix: {fix}"))?;
        let root = url.origin().ascii_serialization();
        let path = if url.path() == "/" { "/v1" } else { url.path().trim_end_matches('/') };
        let base = format!("{root}{path}");
        Ok(Self { base, root, client: http_client(api_key)?, api_key: api_key.map(str::to_owned) })
    }

    /// A server that runs already, and the model that it is asked for.
    pub(crate) async fn elsewhere(
        url: &str,
        model: Option<&str>,
        api_key: Option<&str>,
    ) -> anyhow::Result<(Self, String)> {
        let target = Self::new(url, api_key)?;
        let fix = "start the server, and give its address up to and with /v1 and its key";
        let address = format!("{}/models", target.base);
        let response = target.client.get(&address).timeout(Duration::from_secs(20)).send().await;
        let response = response.map_err(|error| anyhow::anyhow!("{}\n  fix: {fix}", causes(&error)))?;
        ensure!(response.status().is_success(), "{address} answers {}\n  fix: {fix}", response.status());
        let list: Json = response.json().await.with_context(|| format!("{address} lists no models\n  fix: {fix}"))?;
        let first = list["data"][0]["id"].as_str();
        let Some(model) = model.or(first) else { bail!("{address} lists no models\n  fix: name one") };
        let model = model.to_owned();
        Ok((target, model))
    }

    /// A figure of the server's `/metrics`; nothing where it has none of that name.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let response = self.client.get(format!("{}/metrics", self.root)).send().await.ok()?;
        let text = response.text().await.ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }
}

/// A model that is lent to an engine and can be used again when the engine has ended.
#[derive(Clone)]
pub(crate) struct Lent(Arc<Mutex<Transformer<Cpu>>>);

impl Lent {
    pub(crate) fn new(model: Transformer<Cpu>) -> Self {
        Self(Arc::new(Mutex::new(model)))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Transformer<Cpu>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Generate for Lent {
    fn open_cache(&mut self, rows: usize, longest: usize) {
        self.with(|model| model.open_cache(rows, longest));
    }

    fn close_cache(&mut self) {
        self.with(Generate::close_cache);
    }

    fn cache_row_bytes(&self) -> usize {
        self.with(|model| model.cache_row_bytes())
    }

    fn max_positions(&self) -> usize {
        self.with(|model| model.max_positions())
    }

    fn vocabulary(&self) -> usize {
        self.with(|model| model.vocabulary())
    }

    fn extend(&mut self, pieces: &[Piece<'_>]) -> Result<Logits, ModelError> {
        self.with(|model| model.extend(pieces))
    }
}

/// A server in this process, on threads of its own as `camelid serve` has them.
pub(crate) struct Local {
    pub(crate) target: Target,
    pub(crate) service: Arc<EngineService>,
    runtime: Runtime,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Local {
    pub(crate) fn start(
        model: &Lent,
        text: &Arc<Text>,
        limits: Limits,
        queue: usize,
        name: &str,
    ) -> anyhow::Result<Self> {
        let engine = Box::new(model.clone());
        let service = EngineService::start(engine, Arc::clone(text), limits, queue);
        let service = Arc::new(service.context("the engine's thread cannot be started")?);
        let server = Server::new(Arc::clone(&service) as _, Arc::clone(text), Settings::new(name));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let target = Target::new(&format!("http://{}", listener.local_addr()?), None)?;
        let (stop, stopped) = oneshot::channel();
        let serving = runtime.spawn(serve(listener, server, async {
            let _ = stopped.await;
        }));
        Ok(Self { target, service, runtime, stop, serving })
    }

    /// Ends as `camelid serve` does: everything accepted is answered first.
    pub(crate) fn finish(self, model: &mut Lent) -> anyhow::Result<()> {
        let Self { target, service, runtime, stop, serving } = self;
        drop(target);
        // A server that has ended already says why below.
        let _ = stop.send(());
        runtime.block_on(serving).context("the server broke")??;
        service.drain();
        model.close_cache();
        Ok(())
    }
}
