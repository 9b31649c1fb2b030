//! `camelid serve`: an OpenAI-compatible server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use camelid_generate::server::{Server, Settings, serve};

use super::engine;
use crate::cli::ServeArgs;

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let (service, text) = engine::start(&args.model, &args.engine, args.weights, &args.machine)?;
    let name = args.name.clone().unwrap_or_else(|| name_of(&args.model));
    let settings = Settings { api_key: args.api_key.clone(), ..Settings::new(name.as_str()) };
    let mut server = Server::new(Arc::clone(&service) as _, text, settings);
    if args.allow_weight_updates {
        let (service, weights, machine) = (Arc::clone(&service), args.weights, args.machine.clone());
        let load = move |path: &Path| -> Result<u64, String> {
            let (other, _) =
                engine::load(&path.display().to_string(), weights, &machine).map_err(|error| format!("{error:#}"))?;
            service.replace(Box::new(other)).map_err(|refusal| refusal.to_string())
        };
        server = server.with_load_adapter(Arc::new(load));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let address = SocketAddr::new(args.host, args.port);
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("{address} cannot be listened on\n  fix: choose another --port or --host"))?;
        let address = listener.local_addr()?;
        eprintln!("{name} answers on http://{address}/v1 (Ctrl-C ends)");
        if !address.ip().is_loopback() && args.api_key.is_none() {
            eprintln!("anybody who reaches this machine can use it; --api-key asks for a key");
        }
        serve(listener, server, stopped()).await?;
        eprintln!("every accepted request is answered");
        Ok(())
    })
}

/// The last part of a path, or the name itself.
fn name_of(model: &str) -> String {
    Path::new(model).file_name().map_or_else(|| model.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Ends with Ctrl-C or SIGTERM.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
