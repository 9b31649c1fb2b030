//! What tells one model's weights from another's.

use camelid_model::LoadedModel;
use camelid_text::Text;

/// Of the architecture, all values, the vocabulary and the template, whatever files they come from.
pub(crate) fn of(model: &LoadedModel) -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(model.config.to_string().as_bytes());
    let mut names = model.weights.names();
    names.sort();
    for name in names {
        hasher.update(name.as_bytes());
        let values = model.weights.load(&name)?;
        let mut bytes = Vec::with_capacity(4 << 16);
        for part in values.chunks(1 << 16) {
            bytes.clear();
            bytes.extend(part.iter().flat_map(|value| value.to_le_bytes()));
            hasher.update(&bytes);
        }
    }
    hasher.update(&Text::new(model.text.clone())?.hash());
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}
