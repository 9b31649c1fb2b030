//! `camelid inspect model`: architecture and tensors, without loading weights.

use camelid_model::inspect_model;

use crate::models;

pub(crate) fn run(reference: &str, tensors: bool) -> anyhow::Result<()> {
    let path = models::locate(reference, &mut |line| eprintln!("{line}"))?;
    let found = inspect_model(&path)?;
    println!("{}", found.path.display());
    if let Some(base) = &found.base {
        println!("adapter of {base}");
    }
    println!("{:#}", found.config);
    println!("{} tensors, {} parameters", found.tensors.len(), found.parameters());
    if tensors {
        for tensor in &found.tensors {
            println!("  {:<60} {:<6} {:?}", tensor.name, tensor.kind, tensor.shape);
        }
    }
    Ok(())
}
