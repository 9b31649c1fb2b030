//! `camelid inspect model`: architecture and tensors, without loading weights.

use camelid_model::inspect_model;

use crate::models;

pub(crate) fn run(reference: &str, tensors: bool) -> anyhow::Result<()> {
    let path = models::locate(reference, &mut |line| eprintln!("{line}"))?;
    let found = inspect_model(&path)?;
    println!("{}\n{}", path.display(), found.arch);
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    let total: usize = found.tensors.iter().map(|(_, shape, _)| count(shape)).sum();
    println!("tensors      {} with {total} elements", found.tensors.len());
    if tensors {
        for (name, shape, dtype) in &found.tensors {
            println!("  {name:<60} {dtype:<6} {shape:?}");
        }
    }
    Ok(())
}
