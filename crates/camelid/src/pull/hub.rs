//! Fetching a model from the Hugging Face hub.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use hf_hub::repository::RepoTreeEntry;
use hf_hub::{HFClient, HFClientSync};

use super::cache::{RecordedFile, install, write_record};
use super::names::Known;
use super::{Pulled, Source, verify};

/// How long the hub may take to answer at all before the next source is tried.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a transfer is looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// Files larger than this are announced and their progress reported.
const LARGE: u64 = 20_000_000;

/// Fetches the files of a model, checks their sizes and, for those in large-file storage, their sha256, and installs
/// them in the cache.
pub(super) fn fetch(
    known: &Known,
    models: &Path,
    endpoint: &str,
    report: &mut dyn FnMut(&str),
) -> anyhow::Result<Pulled> {
    check_reachable(endpoint)?;
    let work = tempfile::Builder::new()
        .prefix(&format!(".{}-", known.folder))
        .tempdir_in(models)
        .with_context(|| format!("{} cannot be written", models.display()))?;
    // A cache of its own, so that a file is only seen under its final name once it has been checked.
    let client =
        HFClient::builder().endpoint(endpoint).cache_dir(work.path().join("hub")).retry_max_attempts(3).build_sync()?;
    let wanted = list(&client, known)?;
    let filled = work.path().join("model");
    std::fs::create_dir(&filled)?;
    let mut files = Vec::with_capacity(wanted.len());
    let (mut total, mut commit, mut checked) = (0, String::new(), false);
    for (name, bytes) in wanted {
        if bytes >= LARGE {
            report(&format!("fetching {name} ({} MB)", bytes / 1_000_000));
        }
        let snapshot = download(&client, known, &name, bytes, report)?;
        let sha256 = stated_sha256(&snapshot);
        total += verify::check_file(&snapshot, Some(bytes), sha256.as_deref())?;
        checked |= sha256.is_some();
        commit = snapshot.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        std::fs::rename(snapshot.canonicalize()?, filled.join(&name))?;
        files.push(RecordedFile { name, bytes, sha256 });
    }
    write_record(&filled, &format!("{} at {commit}", known.repository()), &files)?;
    let place = models.join(&known.folder);
    install(&filled, &place)?;
    Ok(Pulled { path: place, source: Source::HuggingFaceHub, sha256_checked: checked, bytes: total })
}

/// Asks for a connection, so that a machine without network finds out within seconds. With a proxy, the proxy is what
/// must answer.
fn check_reachable(endpoint: &str) -> anyhow::Result<()> {
    let variables = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let stated = variables.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let proxy = stated.filter(|_| endpoint.starts_with("https://"));
    let target = proxy.as_deref().unwrap_or(endpoint);
    let (host, port) = host_and_port(target).with_context(|| format!("{target} is not an address"))?;
    let (sender, receiver) = mpsc::channel();
    let address = (host.clone(), port);
    // Looking a name up cannot be bounded in time, so it is left to a thread that may be abandoned.
    std::thread::spawn(move || {
        let outcome = address.to_socket_addrs().and_then(|found| {
            let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
            for address in found {
                match TcpStream::connect_timeout(&address, PATIENCE) {
                    Ok(_) => return Ok(()),
                    Err(error) => last = error,
                }
            }
            Err(last)
        });
        // The receiver may have given up.
        drop(sender.send(outcome));
    });
    match receiver.recv_timeout(PATIENCE) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => bail!("{host} cannot be reached: {error}"),
        Err(_) => bail!("{host} did not answer within {} seconds", PATIENCE.as_secs()),
    }
}

/// Host and port of a URL, a port by its scheme if it states none.
pub(super) fn host_and_port(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let standard = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, standard),
    };
    let host = host.trim_matches(['[', ']']);
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// Names and sizes of the files that make the model.
fn list(client: &HFClientSync, known: &Known) -> anyhow::Result<Vec<(String, u64)>> {
    let entries = client.model(&known.organisation, &known.name).list_tree().send()?;
    let files: Vec<(String, u64)> = entries
        .into_iter()
        .filter_map(|entry| match entry {
            RepoTreeEntry::File { path, size, .. } => is_wanted(&path).then_some((path, size)),
            RepoTreeEntry::Directory { .. } => None,
        })
        .collect();
    let has = |suffix: &str| files.iter().any(|(name, _)| name.ends_with(suffix));
    if !has("config.json") {
        bail!("the repository has no config.json");
    }
    if !has(".safetensors") {
        bail!("the repository has no safetensors weights");
    }
    Ok(files)
}

/// Configuration, tokenizer, chat template, licence and weights, each directly in the repository.
pub(super) fn is_wanted(path: &str) -> bool {
    let exact = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "model.safetensors.index.json",
        "LICENSE",
    ];
    exact.contains(&path) || path.starts_with("model") && path.ends_with(".safetensors") && !path.contains('/')
}

/// The sha256 that the hub states for a file in large-file storage: the name of its blob.
fn stated_sha256(snapshot: &Path) -> Option<String> {
    let blob = snapshot.canonicalize().ok()?;
    let name = blob.file_name()?.to_str()?;
    (name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| name.to_ascii_lowercase())
}

/// Passes on how many bytes of the file have arrived.
struct Meter(mpsc::Sender<u64>);

impl ProgressHandler for Meter {
    fn on_progress(&self, event: &ProgressEvent) {
        let ProgressEvent::Download(event) = event else { return };
        let bytes = match event {
            DownloadEvent::Progress { files } => files.iter().map(|file| file.bytes_completed).max(),
            DownloadEvent::AggregateProgress { bytes_completed, .. } => Some(*bytes_completed),
            DownloadEvent::Start { .. } | DownloadEvent::Complete => None,
        };
        if let Some(bytes) = bytes {
            // Nobody listens any more once the download is over.
            let _ = self.0.send(bytes);
        }
    }
}

/// Downloads one file in a thread while this one reports every tenth of a large one.
fn download(
    client: &HFClientSync,
    known: &Known,
    name: &str,
    bytes: u64,
    report: &mut dyn FnMut(&str),
) -> anyhow::Result<PathBuf> {
    let (sender, receiver) = mpsc::channel();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let transfer = scope.spawn(|| {
            let repository = client.model(&known.organisation, &known.name);
            repository.download_file().filename(name.to_owned()).progress(Meter(sender)).send()
        });
        let mut reported = 0;
        while !transfer.is_finished() {
            let Ok(done) = receiver.recv_timeout(GLANCE) else { continue };
            let tenth = (done * 10).checked_div(bytes).unwrap_or_default();
            if bytes >= LARGE && tenth > reported && tenth < 10 {
                reported = tenth;
                let rate = done as f64 / 1e6 / start.elapsed().as_secs_f64().max(1e-3);
                report(&format!("{name}: {} % at {rate:.0} MB/s", 10 * tenth));
            }
        }
        match transfer.join() {
            Ok(result) => result.with_context(|| format!("{name} could not be fetched")),
            Err(_) => bail!("{name} could not be fetched: the transfer broke down"),
        }
    })
}
