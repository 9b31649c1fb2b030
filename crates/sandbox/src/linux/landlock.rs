//! Landlock: what the program may open, whatever it sees.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::view::DEVICES;

/// The newest interface whose rights are asked for; older kernels apply what they know.
const ASKED: ABI = ABI::V6;

/// Restricts this process to reading `readable` and writing below `work`.
pub(super) fn restrict(readable: &[PathBuf], work: &Path) -> Result<String, String> {
    let status = apply(readable, work).map_err(|error| error.to_string())?;
    match status {
        RulesetStatus::FullyEnforced => Ok("files, TCP, signals and abstract sockets".to_owned()),
        RulesetStatus::PartiallyEnforced => {
            Ok("files; the kernel is too old for a part of TCP, signals and sockets".to_owned())
        }
        RulesetStatus::NotEnforced => {
            Err("the kernel has none, or it is not enabled (boot parameter lsm=landlock,...)".to_owned())
        }
    }
}

fn apply(readable: &[PathBuf], work: &Path) -> Result<RulesetStatus, landlock::RulesetError> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(ASKED))?
        .handle_access(AccessNet::from_all(ASKED))?
        .scope(Scope::from_all(ASKED))?
        .create()?;
    let mut ruleset = allow(ruleset, work, work_rights())?;
    for device in DEVICES {
        ruleset = allow(ruleset, Path::new(device), AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    for path in readable {
        ruleset = allow(ruleset, path, AccessFs::from_read(ASKED))?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// Reading and writing, but no devices, sockets, pipes or executables.
fn work_rights() -> BitFlags<AccessFs> {
    let refused = AccessFs::Execute
        | AccessFs::MakeChar
        | AccessFs::MakeBlock
        | AccessFs::MakeSock
        | AccessFs::MakeFifo
        | AccessFs::IoctlDev;
    AccessFs::from_all(ASKED) & !refused
}

/// Adds a rule for what lies at or below `path`. A path that is absent needs none.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    rights: BitFlags<AccessFs>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(ruleset) };
    let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(ASKED) };
    ruleset.add_rule(PathBeneath::new(opened, rights))
}
