//! Rotary embeddings as `config.json` states them, in both spellings.

use serde_json::Value as Json;

use crate::ModelError;
use crate::arch::{Rope, RopeScaling};
use crate::arch_hf::{Config, invalid};

/// Share of a head's dimensions that turn.
pub(crate) fn partial_rotary_factor(config: Config<'_>, default: f64) -> Result<f64, ModelError> {
    let parameters = Config { json: config.find("rope_parameters").unwrap_or(&Json::Null) };
    let found = [
        parameters.number("partial_rotary_factor")?,
        config.number("partial_rotary_factor")?,
        config.number("rotary_pct")?,
    ];
    let share = found.into_iter().flatten().next().unwrap_or(default);
    if share > 0.0 && share <= 1.0 {
        return Ok(share);
    }
    Err(invalid(format!("config.json: a share of {share} of each head turns"), "use a share above 0 and at most 1"))
}

/// The distinct rotary embeddings, and for each layer which one it uses.
pub(crate) fn layer_ropes(config: Config<'_>, windows: &[Option<u32>]) -> Result<(Vec<Rope>, Vec<usize>), ModelError> {
    let parameters = config.find("rope_parameters");
    // Gemma 3 in transformers 5: one set of parameters for each kind of layer.
    if let Some(by_kind) = parameters.filter(|p| p.get("full_attention").is_some()) {
        let global = rope(config, Some(&by_kind["full_attention"]), None)?;
        let local = rope(config, by_kind.get("sliding_attention").or(Some(&by_kind["full_attention"])), None)?;
        return Ok((vec![global, local], windows.iter().map(|w| usize::from(w.is_some())).collect()));
    }
    let scaling = parameters.or_else(|| config.find("rope_scaling"));
    let global = rope(config, scaling, None)?;
    // Gemma 3 before that: local layers have a base of their own and no scaling.
    match config.number("rope_local_base_freq")? {
        Some(theta) => {
            let local = Rope { theta, scaling: RopeScaling::None };
            Ok((vec![global, local], windows.iter().map(|w| usize::from(w.is_some())).collect()))
        }
        None => Ok((vec![global], vec![0; windows.len()])),
    }
}

fn rope(config: Config<'_>, parameters: Option<&Json>, theta: Option<f64>) -> Result<Rope, ModelError> {
    let parameters = Config { json: parameters.unwrap_or(&Json::Null) };
    let thetas =
        [theta, parameters.number("rope_theta")?, config.number("rope_theta")?, config.number("rotary_emb_base")?];
    let theta = thetas.into_iter().flatten().next().unwrap_or(10_000.0);
    if theta <= 1.0 {
        return Err(invalid(format!("config.json: rope_theta is {theta}"), "take config.json from the model's source"));
    }
    let kind = parameters.text("rope_type").or_else(|| parameters.text("type")).unwrap_or("default");
    let factor = || -> Result<f64, ModelError> {
        match parameters.number("factor")? {
            Some(factor) if factor >= 1.0 => Ok(factor),
            _ => Err(invalid(format!("config.json: {kind} rotary scaling needs a `factor` of at least 1"), "add it")),
        }
    };
    let original_positions = || -> Result<f64, ModelError> {
        let stated = [
            parameters.number("original_max_position_embeddings")?,
            config.number("original_max_position_embeddings")?,
            config.number("max_position_embeddings")?,
        ];
        Ok(stated.into_iter().flatten().next().unwrap_or(2048.0))
    };
    let scaling = match kind {
        "default" | "none" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: factor()? },
        "llama3" => RopeScaling::Llama3 {
            factor: factor()?,
            low_frequency_factor: parameters.number("low_freq_factor")?.unwrap_or(1.0),
            high_frequency_factor: parameters.number("high_freq_factor")?.unwrap_or(4.0),
            original_positions: original_positions()?,
        },
        "yarn" => {
            let factor = factor()?;
            let scale = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
            let stated = parameters.number("attention_factor")?;
            let both = parameters.number("mscale")?.zip(parameters.number("mscale_all_dim")?);
            RopeScaling::Yarn {
                factor,
                original_positions: original_positions()?,
                beta_fast: parameters.number("beta_fast")?.unwrap_or(32.0),
                beta_slow: parameters.number("beta_slow")?.unwrap_or(1.0),
                attention_factor: stated
                    .unwrap_or_else(|| both.map_or_else(|| scale(1.0), |(m, all)| scale(m) / scale(all))),
                truncate: parameters.flag("truncate", true)?,
            }
        }
        other => {
            return Err(invalid(
                format!("config.json: rotary scaling {other:?} is not supported"),
                "supported are linear, llama3 and yarn",
            ));
        }
    };
    Ok(Rope { theta, scaling })
}
