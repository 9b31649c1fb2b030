//! A folder with a tiny model, data and recipes, and the binary run in it.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod evaluations;
pub(crate) mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use camelid_model::ArchConfig;
use camelid_model::io::{ElementType, write_hf_model, write_text};
use camelid_text::TextAssets;
use serde_json::{Map, Value as Json, json};
use tempfile::TempDir;

/// Turns that end in a token of their own, as most templates write them.
pub(crate) const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

const VOCABULARY: usize = 260;

pub(crate) struct Workshop {
    folder: TempDir,
}

impl Workshop {
    /// With `model`, `data.jsonl` (twelve conversations) and `recipe.toml` (six steps, a checkpoint each).
    pub(crate) fn new() -> Self {
        let workshop = Self { folder: tempfile::tempdir().unwrap() };
        write_model(&workshop.path("model"));
        let rows: Vec<String> = (0..12)
            .map(|i| {
                let messages = json!([
                    {"role": "user", "content": format!("Question {i}?")},
                    {"role": "assistant", "content": format!("{i} is the answer.")},
                ]);
                json!({ "messages": messages }).to_string() + "\n"
            })
            .collect();
        workshop.write("data.jsonl", rows.concat());
        workshop.write("recipe.toml", recipe(""));
        workshop
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Changes one file of the model.
    pub(crate) fn edit_json(&self, name: &str, edit: impl FnOnce(&mut Json)) {
        let mut json: Json = serde_json::from_str(&self.read(name)).unwrap();
        edit(&mut json);
        self.write(name, json.to_string());
    }

    /// The binary, at home in this folder and with no network.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_camelid"));
        command.args(arguments).current_dir(self.folder.path());
        command.env("CAMELID_HOME", self.path("home")).env("HF_HOME", self.path("hf")).env("HF_HUB_OFFLINE", "1");
        command.env("CAMELID_THREADS", "1").env("NO_COLOR", "1").env("RUST_BACKTRACE", "0");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a command that must succeed.
    #[track_caller]
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "camelid {}: {errors}", arguments.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `recipe.toml` anew; what it said, and the lines of its metrics that have `figure`.
    #[track_caller]
    pub(crate) fn train(&self, recipe: &str, figure: &str) -> (String, Vec<Json>) {
        self.write("recipe.toml", recipe);
        let output = self.run(&["run", "recipe.toml", "--restart"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{recipe}: {said}");
        let metrics = self.read("runs/tiny/metrics.jsonl");
        let lines = metrics.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        (said, lines.filter(|line| line[figure].is_number()).collect())
    }

    /// What a command that must fail says, with this folder's name taken out.
    #[track_caller]
    pub(crate) fn fail(&self, arguments: &[&str]) -> String {
        self.failed(&self.run(arguments))
    }

    #[track_caller]
    pub(crate) fn failed(&self, output: &Output) -> String {
        let errors = String::from_utf8_lossy(&output.stderr).replace(&self.folder.path().display().to_string(), "DIR");
        assert_eq!(output.status.code(), Some(1), "{errors}");
        errors
    }
}

const DIGITS: &str = r#"
name = "digits"
version = 1
title = "A number that the question holds"
axis = "reasoning"
licence = "MIT"
get = "write digits.jsonl into DATA"

[[source]]
evaluate = "test"
files = { test = "digits.jsonl" }

[prompt]
item = "{{ question }}"
format = "chat"

[score]
kind = "generation"
extract = "number"
max_tokens = 6
"#;

/// With the benchmark `digits.toml`: so many items, each asking for its own number.
pub(crate) fn digits(items: usize) -> Workshop {
    let workshop = Workshop::new();
    workshop.write("digits.toml", DIGITS);
    let row =
        |index: usize| json!({"question": format!("Say {index}."), "answer": index.to_string()}).to_string() + "\n";
    workshop.write("digits.jsonl", (0..items).map(row).collect::<String>());
    workshop
}

/// The recipe of the workshop with further lines in its stage.
pub(crate) fn recipe(lines: &str) -> String {
    format!(
        "name = \"tiny\"\nmodel = \"model\"\ncompute = \"f32\"\nthreads = 1\n\n[[stage]]\nkind = \"sft\"\n\
         data = \"data.jsonl\"\nvalidation_share = 0.2\nmax_length = 64\nbatch_size = 3\nepochs = 2\n\
         learning_rate = 1e-2\nmax_steps = 6\ncheckpoint_every = 1\neval_every = 2\n{lines}"
    )
}

fn config() -> Json {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": VOCABULARY,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false,
        "bos_token_id": 257, "eos_token_id": 258, "hidden_act": "silu",
    })
}

/// A Llama with 9,000 parameters whose tokens are bytes.
pub(crate) fn write_model(folder: &Path) {
    let config = config();
    let arch = ArchConfig::from_hf(&config).unwrap();
    let mut state = 1_u64;
    let mut fetch = |name: &str| {
        let (_, shape) = arch.tensors().into_iter().find(|(known, _)| known == name).unwrap();
        let scale = if shape.len() == 1 { 0.0 } else { 0.2 };
        let values = (0..shape.iter().product()).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let uniform = (state >> 40) as f32 / 8_388_608.0 - 1.0;
            scale * uniform + if shape.len() == 1 { 1.0 } else { 0.0 }
        });
        Ok(values.collect())
    };
    write_hf_model(folder, &arch, &config, ElementType::F32, &mut fetch).unwrap();
    let assets = TextAssets {
        tokenizer_json: tokenizer().to_string().into_bytes(),
        tokenizer_config: json!({"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>", "add_bos_token": false}),
        chat_template: Some(TEMPLATE.into()),
        generation_config: json!({"eos_token_id": 258}),
    };
    write_text(folder, &assets).unwrap();
}

/// Byte-level BPE without a merge: one token a byte.
fn tokenizer() -> Json {
    let mut vocabulary: Map<String, Json> = byte_letters().into_iter().zip(0..).map(|(c, id)| (c, json!(id))).collect();
    let specials = ["<unk>", "<|endoftext|>", "<|im_end|>", "<|im_start|>"];
    let added: Vec<Json> = (256..)
        .zip(specials)
        .map(|(id, content)| {
            vocabulary.insert(content.into(), json!(id));
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": byte_level, "post_processor": null, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary,
                  "merges": []},
    })
}

/// The letters that stand for the 256 bytes in byte-level vocabularies: printable ones for themselves, the others for
/// 256, 257, ...
fn byte_letters() -> Vec<String> {
    let mut next = 256;
    (0..256_u32)
        .map(|byte| {
            let printable = (33..=126).contains(&byte) || (161..=172).contains(&byte) || byte >= 174;
            let code = if printable {
                byte
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(code).unwrap().to_string()
        })
        .collect()
}

/// A command that runs until it is told to end.
pub(crate) struct Running {
    child: std::process::Child,
    errors: std::io::BufReader<std::process::ChildStderr>,
}

impl Workshop {
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        use std::process::Stdio;
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = std::io::BufReader::new(child.stderr.take().unwrap());
        Running { child, errors }
    }
}

impl Running {
    /// What follows `text` on the first line of its messages that has it.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        use std::io::BufRead;
        let mut line = String::new();
        while self.errors.read_line(&mut line).unwrap() > 0 {
            if let Some((_, rest)) = line.split_once(text) {
                return rest.trim().to_owned();
            }
            line.clear();
        }
        panic!("the command ended without saying {text:?}");
    }

    /// Sends SIGTERM and returns the rest of its messages.
    pub(crate) fn terminate(&mut self) -> String {
        use std::io::Read;
        let sent = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let mut rest = String::new();
        self.errors.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        rest
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}
