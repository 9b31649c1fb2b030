//! Each source served from a folder or a server made for the test.

use std::fs;
use std::path::Path;

use super::cache::{camelid_entry, hub_entry};
use super::names::resolve;
use super::{PullOptions, Source, pull};

/// Caches within `home`.
fn options(home: &Path) -> PullOptions {
    PullOptions { home: Some(home.to_owned()), hub_cache: Some(home.join("hub")), ..PullOptions::default() }
}

#[test]
fn names_resolve_to_repositories() {
    for (name, repository, folder) in [
        ("smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2-135m-instruct"),
        ("SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2-135m-instruct"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2-135m-instruct"),
        ("qwen3-0.6b", "Qwen/Qwen3-0.6B", "qwen3-0.6b"),
        ("some-org/Some_Model.v2", "some-org/Some_Model.v2", "some-org--Some_Model.v2"),
    ] {
        let known = resolve(name).unwrap();
        assert_eq!((known.repository().as_str(), known.folder.as_str()), (repository, folder));
        assert_eq!(known.in_package, folder == "smollm2-135m-instruct");
    }
}

#[test]
fn a_misspelt_name_is_answered_with_the_right_one() {
    let error = resolve("smolm2-135m-instruct").unwrap_err().to_string();
    assert!(error.contains("did you mean smollm2-135m-instruct?"), "{error}");
    for name in ["../secret", "a/../b", "a/b/c", "/etc", "org/", "x/.git", ""] {
        assert!(resolve(name).unwrap_err().to_string().contains("\n  fix: "), "{name}");
    }
}

#[test]
fn a_path_is_used_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let found = pull(folder.path().to_str().unwrap(), &PullOptions::default(), &mut |_| {}).unwrap();
    assert_eq!((found.path.as_path(), found.source, found.bytes), (folder.path(), Source::Path, 2));
}

/// A snapshot in Hugging Face's cache.
fn snapshot(cache: &Path, commit: &str, files: &[&str]) {
    let repository = cache.join("models--Qwen--Qwen3-0.6B");
    let folder = repository.join("snapshots").join(commit);
    fs::create_dir_all(&folder).unwrap();
    for file in files {
        fs::write(folder.join(file), "{\"weight_map\":{\"a\":\"model-1.safetensors\"}}").unwrap();
    }
}

#[test]
fn a_complete_snapshot_of_the_hugging_face_cache_is_used() {
    let cache = tempfile::tempdir().unwrap();
    let known = resolve("qwen3-0.6b").unwrap();
    let reason = || hub_entry(cache.path(), &known).unwrap_err().to_string();
    assert_eq!(reason(), "not there");
    snapshot(cache.path(), "aaa", &["config.json"]);
    assert_eq!(reason(), "incomplete: tokenizer.json is missing");
    snapshot(cache.path(), "aaa", &["tokenizer.json"]);
    assert_eq!(reason(), "incomplete: model.safetensors is missing");
    snapshot(cache.path(), "aaa", &["model.safetensors.index.json"]);
    assert_eq!(reason(), "incomplete: model-1.safetensors is missing");
    snapshot(cache.path(), "aaa", &["model-1.safetensors"]);
    let found = hub_entry(cache.path(), &known).unwrap();
    assert!(found.path.ends_with("snapshots/aaa"));
    assert_eq!(found.source, Source::HuggingFaceCache);

    snapshot(cache.path(), "bbb", &["config.json", "tokenizer.json", "model.safetensors"]);
    fs::create_dir_all(cache.path().join("models--Qwen--Qwen3-0.6B/refs")).unwrap();
    fs::write(cache.path().join("models--Qwen--Qwen3-0.6B/refs/main"), "bbb\n").unwrap();
    assert!(hub_entry(cache.path(), &known).unwrap().path.ends_with("snapshots/bbb"), "main comes first");
}

#[test]
fn an_entry_of_the_cache_is_compared_with_its_record() {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("models/qwen3-0.6b");
    assert_eq!(camelid_entry(&place).unwrap_err().to_string(), "not there");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("model.gguf"), "12345").unwrap();
    assert!(camelid_entry(&place).unwrap_err().to_string().contains("has no pulled.json"));
    fs::write(place.join("pulled.json"), "{\"files\":[{\"name\":\"model.gguf\",\"bytes\":5}]}").unwrap();
    let options = PullOptions { offline: true, ..options(home.path()) };
    let found = pull("qwen3-0.6b", &options, &mut |_| {}).unwrap();
    assert_eq!((found.path, found.source, found.bytes), (place.join("model.gguf"), Source::CamelidCache, 5));
    fs::write(place.join("model.gguf"), "1234").unwrap();
    let error = camelid_entry(&place).unwrap_err().to_string();
    assert_eq!(error, "model.gguf has 4 bytes where 5 were announced");
}

#[test]
fn a_failure_lists_every_source() {
    let home = tempfile::tempdir().unwrap();
    let options = PullOptions { offline: true, ..options(home.path()) };
    let error = pull("no-such-org/no-such-model", &options, &mut |_| {}).unwrap_err().to_string();
    for part in ["- Camelid's cache (", "- the Hugging Face cache (", "- the network: not used: offline", "\n  fix: "] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
}

#[cfg(feature = "hub")]
mod hub {
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    use sha2::{Digest, Sha256};

    use super::super::hub::{host_and_port, is_wanted};
    use super::super::verify::hexadecimal;
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn addresses_are_taken_apart() {
        for (url, host, port) in [
            ("https://huggingface.co", "huggingface.co", 443),
            ("http://127.0.0.1:8080/path", "127.0.0.1", 8080),
            ("http://user:secret@proxy:3128", "proxy", 3128),
            ("https://[::1]/x", "::1", 443),
            ("proxy.local:3128", "proxy.local", 3128),
        ] {
            assert_eq!(host_and_port(url), Some((host.to_owned(), port)), "{url}");
        }
        assert_eq!(host_and_port("https://"), None);
        assert_eq!(host_and_port("http://host:port"), None);
    }

    #[test]
    fn only_the_files_of_a_model_are_wanted() {
        for (path, wanted) in [
            ("config.json", true),
            ("model-00001-of-00002.safetensors", true),
            ("onnx/model.safetensors", false),
            ("consolidated.safetensors", false),
            ("README.md", false),
            ("pytorch_model.bin", false),
        ] {
            assert_eq!(is_wanted(path), wanted, "{path}");
        }
    }

    fn files() -> BTreeMap<&'static str, Vec<u8>> {
        BTreeMap::from([
            ("config.json", b"{\"model_type\":\"llama\"}".to_vec()),
            ("tokenizer.json", b"{}".to_vec()),
            ("README.md", b"not fetched".to_vec()),
            ("model.safetensors", (0..200_000_u32).flat_map(u32::to_le_bytes).collect()),
        ])
    }

    /// Answers as the hub does, one request a connection. `stated` is the sha256 it claims for the weights.
    fn answer(mut stream: TcpStream, stated: &str) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut request = String::new();
        reader.read_line(&mut request)?;
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let mut words = request.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let files = files();
        let (status, headers, body) = if path.starts_with("/api/models/org/tiny/tree/main") {
            let entries: Vec<serde_json::Value> = files
                .iter()
                .map(|(name, body)| serde_json::json!({ "type": "file", "oid": "0", "size": body.len(), "path": name }))
                .collect();
            ("200 OK", "content-type: application/json\r\n".to_owned(), serde_json::to_vec(&entries)?)
        } else if let Some((name, body)) = files.iter().find(|(name, _)| path.ends_with(&format!("/main/{name}"))) {
            let etag = if *name == "model.safetensors" { stated.to_owned() } else { format!("{:040}", body.len()) };
            ("200 OK", format!("etag: \"{etag}\"\r\nx-repo-commit: {COMMIT}\r\n"), body.clone())
        } else {
            ("404 Not Found", String::new(), Vec::new())
        };
        write!(stream, "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
        if method == "GET" {
            stream.write_all(&body)?;
        }
        Ok(())
    }

    fn serve(stated: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stated = Arc::new(stated);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let stated = Arc::clone(&stated);
                std::thread::spawn(move || drop(answer(stream, &stated)));
            }
        });
        format!("http://{address}")
    }

    fn from(endpoint: String, home: &Path) -> PullOptions {
        PullOptions { endpoint: Some(endpoint), ..options(home) }
    }

    #[test]
    fn a_model_is_fetched_checked_and_kept() {
        let home = tempfile::tempdir().unwrap();
        let options = from(serve(hexadecimal(&Sha256::digest(&files()["model.safetensors"]))), home.path());
        let found = pull("org/tiny", &options, &mut |_| {}).unwrap();
        let place = home.path().join("models/org--tiny");
        assert_eq!((&found.path, found.source, found.sha256_checked), (&place, Source::HuggingFaceHub, true));
        assert_eq!(found.bytes, 800_000 + 22 + 2);
        for (name, body) in files() {
            let read = fs::read(place.join(name)).ok();
            assert_eq!(read, (name != "README.md").then_some(body), "{name}");
        }
        let record = fs::read_to_string(place.join("pulled.json")).unwrap();
        assert!(record.contains(COMMIT), "{record}");
        let left: Vec<_> = fs::read_dir(home.path().join("models")).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["org--tiny"], "no temporary folder stays");

        let again = pull("org/tiny", &options, &mut |_| {}).unwrap();
        assert_eq!((again.source, again.path), (Source::CamelidCache, place));
    }

    #[test]
    fn damaged_weights_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let options = from(serve("ab".repeat(32)), home.path());
        let error = pull("org/tiny", &options, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("model.safetensors has sha256 ") && error.contains("where abab"), "{error}");
        assert_eq!(fs::read_dir(home.path().join("models")).unwrap().count(), 0);
    }

    #[test]
    fn a_hub_that_is_not_there_costs_little_time() {
        let home = tempfile::tempdir().unwrap();
        // The port of a listener that is closed again.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let start = std::time::Instant::now();
        let options = from(format!("http://{address}"), home.path());
        let error = pull("org/tiny", &options, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("- the Hugging Face hub (org/tiny): 127.0.0.1 cannot be reached"), "{error}");
        assert!(start.elapsed().as_secs() < 5);
    }
}
