//! `camelid export`: a model in another form.

use anyhow::bail;
use camelid_model::io::gguf::{GgufType, write_gguf};
use camelid_model::io::{ElementType, write_hf_model, write_hf_reward_model, write_text};

use crate::cli::{ExportArgs, ExportType};
use crate::models;

pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let model = models::open(&args.model, &mut |line| eprintln!("{line}"))?;
    let mut fetch = |name: &str| model.weights.load(name);
    if args.to.extension().is_some_and(|extension| extension == "gguf") {
        let kind = match args.dtype {
            ExportType::F32 => GgufType::F32,
            ExportType::F16 => GgufType::F16,
            ExportType::Q8_0 => GgufType::Q8_0,
            ExportType::Bf16 => bail!("GGUF export writes f32, f16 or q8_0\n  fix: choose one of them with --dtype"),
        };
        if model.has_value_head() {
            bail!("GGUF has no place for a reward model's scalar head\n  fix: export to a folder");
        }
        write_gguf(&args.to, &model.arch, &model.config, &model.text, kind, &mut fetch)?;
    } else {
        let kind = match args.dtype {
            ExportType::F32 => ElementType::F32,
            ExportType::F16 => ElementType::F16,
            ExportType::Bf16 => ElementType::Bf16,
            ExportType::Q8_0 => {
                bail!("q8_0 is a GGUF type\n  fix: write to a file ending in .gguf, or use --dtype bf16")
            }
        };
        if model.has_value_head() {
            write_hf_reward_model(&args.to, &model.arch, &model.config, kind, &mut fetch)?;
        } else {
            write_hf_model(&args.to, &model.arch, &model.config, kind, &mut fetch)?;
        }
        write_text(&args.to, &model.text)?;
    }
    println!("{}", args.to.display());
    Ok(())
}
