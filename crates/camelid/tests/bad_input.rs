//! What a user sees when something is wrong: the place, what is wrong there, the fix. One snapshot a case.

mod support;

use std::fs;
use std::io::Write;
use std::process::Command;

use serde_json::json;
use support::{TEMPLATE, Workshop, recipe, write_model};

/// A workshop, a change to it, and the message of the command that then fails.
macro_rules! cases {
    ($($name:ident: $change:expr;)+) => {$(
        #[test]
        fn $name() {
            let workshop = Workshop::new();
            let change: fn(&Workshop) -> Vec<String> = $change;
            let arguments = change(&workshop);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let message = workshop.fail(&arguments);
            assert!(message.contains("fix: "), "no fix: {message}");
            insta::assert_snapshot!(stringify!($name), tidy(&message));
        }
    )+};
}

/// Progress lines in front of the error say what was done, not what is wrong.
fn tidy(message: &str) -> String {
    let start = message.find("error: ").unwrap_or_else(|| panic!("no error: {message}"));
    message[start..].trim_end().to_owned()
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn run() -> Vec<String> {
    words("run recipe.toml")
}

/// Runs the workshop's recipe with further lines.
fn run_with(workshop: &Workshop, lines: &str) -> Vec<String> {
    workshop.write("recipe.toml", recipe(lines));
    run()
}

/// Runs the workshop's recipe with one text replaced.
fn run_replaced(workshop: &Workshop, from: &str, to: &str) -> Vec<String> {
    let text = recipe("");
    assert!(text.contains(from), "{from}");
    workshop.write("recipe.toml", text.replacen(from, to, 1));
    run()
}

/// Runs on other data.
fn run_on(workshop: &Workshop, name: &str, data: impl AsRef<[u8]>) -> Vec<String> {
    workshop.write(name, data);
    run_replaced(workshop, "data.jsonl", name)
}

/// Changes the bytes of a file.
fn patch(workshop: &Workshop, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(workshop.path(name)).unwrap();
    change(&mut bytes);
    workshop.write(name, bytes);
}

/// Replaces a text in the header of a safetensors file by one of the same length.
fn patch_header(workshop: &Workshop, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    patch(workshop, "model/model.safetensors", |bytes| {
        let place = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    });
}

const GOOD: &str = "{\"prompt\": \"Hi\", \"completion\": \" Hello\"}\n";

// Preference stages.

/// Runs the workshop's recipe as a preference stage on two pairs, with further lines.
fn prefer(workshop: &Workshop, lines: &str) -> Vec<String> {
    workshop.write("pairs.jsonl", "{\"prompt\": \"Hi\", \"chosen\": \" a\", \"rejected\": \" b\"}\n".repeat(2));
    let text = recipe(lines).replace("kind = \"sft\"", "kind = \"preference\"").replace("data.jsonl", "pairs.jsonl");
    workshop.write("recipe.toml", text);
    run()
}

/// Runs the workshop's recipe as a group stage, with further lines.
fn group(workshop: &Workshop, lines: &str) -> Vec<String> {
    workshop.write("recipe.toml", recipe(lines).replace("kind = \"sft\"", "kind = \"group\""));
    run()
}

/// The same as a stage of another kind that answers prompts.
fn answering(workshop: &Workshop, kind: &str, lines: &str) -> Vec<String> {
    group(workshop, lines);
    let text = workshop.read("recipe.toml").replace("kind = \"group\"", &format!("kind = \"{kind}\""));
    workshop.write("recipe.toml", text);
    run()
}

fn iterate(workshop: &Workshop, lines: &str) -> Vec<String> {
    answering(workshop, "expert-iteration", lines)
}

fn online(workshop: &Workshop, lines: &str) -> Vec<String> {
    answering(workshop, "online-preference", lines)
}

/// The same as a ppo stage.
fn ppo(workshop: &Workshop, lines: &str) -> Vec<String> {
    workshop.write("recipe.toml", recipe(lines).replace("kind = \"sft\"", "kind = \"ppo\""));
    run()
}

/// As [`prefer`], training a reward model.
fn reward(workshop: &Workshop, lines: &str) -> Vec<String> {
    prefer(workshop, lines);
    let text = workshop.read("recipe.toml").replace("kind = \"preference\"", "kind = \"reward\"");
    workshop.write("recipe.toml", text);
    run()
}

cases! {
    preference_unknown_loss: |workshop| prefer(workshop, "loss = \"dppo\"\n");
    preference_setting_of_another_loss: |workshop| prefer(workshop, "loss = \"dpo\"\ntau = 0.1\n");
    preference_setting_without_any: |workshop| prefer(workshop, "loss = \"preferred\"\nbeta = 0.1\n");
    preference_beta_zero: |workshop| prefer(workshop, "beta = 0\n");
    preference_smoothing_too_large: |workshop| prefer(workshop, "label_smoothing = 0.5\n");
    preference_alpha_out_of_range: |workshop| prefer(workshop, "loss = \"f-dpo-alpha\"\nalpha = 1\n");
    preference_key_in_sft: |workshop| run_with(workshop, "beta = 0.1\n");
    preference_with_reduction: |workshop| prefer(workshop, "reduction = \"tokens\"\n");
    preference_with_learn: |workshop| prefer(workshop, "learn = \"assistant\"\n");
    reference_update_without_a_reference: |workshop| prefer(workshop, "loss = \"simpo\"\nreference_update = {}\n");
    reference_update_in_sft: |workshop| run_with(workshop, "reference_update = { every = 10 }\n");
    reference_update_never: |workshop| prefer(workshop, "reference_update = { every = 0 }\n");
    reference_update_share_beyond_1: |workshop| prefer(workshop, "reference_update = { share = 1.5 }\n");
    preference_kto_with_pairs: |workshop| prefer(workshop, "loss = \"kto\"\npairs = \"all\"\n");
    preference_unknown_pairs: |workshop| prefer(workshop, "pairs = \"best-wrost\"\n");
    preference_on_demonstrations: |workshop| {
        let text = recipe("").replace("kind = \"sft\"", "kind = \"preference\"");
        workshop.write("recipe.toml", text);
        run()
    };
    preference_single_responses_for_dpo: |workshop| {
        prefer(workshop, "");
        workshop.write("pairs.jsonl", "{\"prompt\": \"Hi\", \"completion\": \" a\", \"label\": true}\n");
        run()
    };
    preference_labels_against_scores: |workshop| {
        prefer(workshop, "");
        let row = "{\"prompt\": \"Hi\", \"chosen\": \" a\", \"rejected\": \" b\", \"score_chosen\": 1, \"score_rejected\": 3}\n";
        workshop.write("pairs.jsonl", row);
        run()
    };
    preference_with_condition: |workshop| prefer(workshop, "condition = { labels = [\"a\", \"b\"] }\n");
    preference_with_weighted_source: |workshop| {
        prefer(workshop, "");
        let text = workshop.read("recipe.toml").replace("\"pairs.jsonl\"", "[{ path = \"pairs.jsonl\", weight = 2 }]");
        workshop.write("recipe.toml", text);
        run()
    };
    condition_of_one_label: |workshop| run_with(workshop, "condition = { labels = [\"a\"] }\n");
    condition_with_a_label_twice: |workshop| run_with(workshop, "condition = { labels = [\"a\", \"a\"] }\n");
    condition_with_unknown_key: |workshop| run_with(workshop, "condition = { label = [\"a\", \"b\"] }\n");
    condition_on_demonstrations: |workshop| run_with(workshop, "condition = { labels = [\"a\", \"b\"] }\n");
    source_weight_of_zero: |workshop| {
        run_replaced(workshop, "data = \"data.jsonl\"", "data = [{ path = \"data.jsonl\", weight = 0 }]")
    };
    reward_unknown_loss: |workshop| reward(workshop, "loss = \"bradley\"\n");
    reward_setting_of_another_loss: |workshop| reward(workshop, "loss = \"process\"\nmargin_weight = 1\n");
    reward_process_on_pairs: |workshop| reward(workshop, "loss = \"process\"\n");
    group_unknown_loss: |workshop| group(workshop, "loss = \"grop\"\n");
    group_with_beta: |workshop| group(workshop, "beta = 0.1\n");
    group_of_one: |workshop| group(workshop, "samples = 1\n");
    group_unknown_kl_place: |workshop| group(workshop, "kl_in = \"rewards\"\n");
    group_with_ppo_key: |workshop| group(workshop, "value_model = \"model\"\n");
    group_with_dropout: |workshop| group(workshop, "lora = { dropout = 0.1 }\n");
    group_full_kl_with_ema: |workshop| group(workshop, "tune = \"full\"\nema = 0.9\n");
    remax_of_none: |workshop| group(workshop, "loss = \"remax\"\nsamples = 0\n");
    ppo_key_in_sft: |workshop| run_with(workshop, "gae_lambda = 0.9\n");
    ppo_with_a_loss: |workshop| ppo(workshop, "loss = \"dpo\"\n");
    ppo_with_kl_coefficient: |workshop| ppo(workshop, "kl_coefficient = 0.1\n");
    ppo_with_kl_place: |workshop| ppo(workshop, "kl_in = \"loss\"\n");
    ppo_with_learn: |workshop| ppo(workshop, "learn = \"assistant\"\n");
    ppo_with_neftune: |workshop| ppo(workshop, "neftune_alpha = 5\n");
    ppo_of_none: |workshop| ppo(workshop, "samples = 0\n");
    ppo_kl_unknown_setting: |workshop| ppo(workshop, "kl = { coeficient = 0.1 }\n");
    ppo_kl_unknown_estimator: |workshop| ppo(workshop, "kl = { estimator = \"k4\" }\n");
    ppo_kl_below_0: |workshop| ppo(workshop, "kl = { coefficient = -0.1 }\n");
    ppo_kl_horizon_without_target: |workshop| ppo(workshop, "kl = { horizon = 100 }\n");
    ppo_kl_target_of_0: |workshop| ppo(workshop, "kl = { target = 0 }\n");
    ppo_kl_that_cannot_adapt: |workshop| ppo(workshop, "kl = { coefficient = 0, target = 6 }\n");
    ppo_value_model_missing: |workshop| ppo(workshop, "answer_tokens = 8\nvalue_model = \"./nothing\"\n");
    ppo_value_model_of_another_vocabulary: |workshop| {
        write_model(&workshop.path("other"));
        workshop.edit_json("other/tokenizer.json", |t| t["added_tokens"][3]["content"] = json!("<|turn|>"));
        ppo(workshop, "answer_tokens = 8\nvalue_model = \"other\"\n")
    };
    ppo_value_learning_rate_of_0: |workshop| ppo(workshop, "value_learning_rate = 0\n");
    ppo_value_coefficient_of_0: |workshop| ppo(workshop, "value_coefficient = 0\n");
    ppo_value_clip_below_0: |workshop| ppo(workshop, "value_clip = -0.2\n");
    ppo_discount_of_0: |workshop| ppo(workshop, "discount = 0\n");
    ppo_lambda_beyond_1: |workshop| ppo(workshop, "gae_lambda = 1.5\n");
    ppo_whiten_rewards_not_bool: |workshop| ppo(workshop, "whiten_rewards = 1\n");
    ppo_whiten_advantages_not_bool: |workshop| ppo(workshop, "whiten_advantages = \"yes\"\n");
    ppo_scale_of_two_kinds: |workshop| ppo(workshop, "score_scale = { running = true, mean = 1 }\n");
    ppo_scale_without_deviation: |workshop| ppo(workshop, "score_scale = { deviation = 0 }\n");
    ppo_scale_bound_below_0: |workshop| ppo(workshop, "score_scale = { bound = -5 }\n");
    ppo_missing_end_twice: |workshop| ppo(workshop, "missing_end_score = -1\nmissing_end_penalty = 1\n");
    ppo_missing_end_score_infinite: |workshop| ppo(workshop, "missing_end_score = inf\n");
    ppo_target_kl_of_0: |workshop| ppo(workshop, "target_kl = 0\n");
    ppo_pretraining_without_data: |workshop| ppo(workshop, "pretraining = { coefficient = 1 }\n");
    ppo_pretraining_data_missing: |workshop| ppo(workshop, "pretraining = { data = \"dat.jsonl\" }\n");
    ppo_pretraining_coefficient_of_0: |workshop| ppo(workshop, "pretraining = { data = \"data.jsonl\", coefficient = 0 }\n");
    ppo_pretraining_of_none: |workshop| ppo(workshop, "pretraining = { data = \"data.jsonl\", batch_size = 0 }\n");
    ppo_full_with_ema: |workshop| ppo(workshop, "tune = \"full\"\nema = 0.9\n");
    ema_of_1: |workshop| run_with(workshop, "ema = 1.0\n");
    reward_without_a_kind: |workshop| group(workshop, "reward = { weight = 2.0 }\n");
    reward_of_two_kinds: |workshop| group(workshop, "reward = [{ check = \"exact\", pattern = \"a\" }]\n");
    reward_of_weight_0: |workshop| group(workshop, "reward = [{ check = \"exact\" }, { pattern = \"a\", weight = 0.0 }]\n");
    reward_list_that_is_empty: |workshop| group(workshop, "reward = []\n");
    reward_of_an_unknown_kind: |workshop| group(workshop, "reward = { checks = \"exact\" }\n");
    reward_pattern_broken: |workshop| group(workshop, "reward = { pattern = \"(a\" }\n");
    reward_length_without_rule: |workshop| group(workshop, "reward = { length = { limit = 10.0 } }\n");
    reward_combined_without_models: |workshop| group(workshop, "reward = { pattern = \"a\", combine = \"mean\" }\n");
    reward_model_without_a_name: |workshop| group(workshop, "reward = { model = [] }\n");
    reward_model_that_is_none: |workshop| group(workshop, "answer_tokens = 16\nreward = { model = \"model\", force = true }\n");
    reward_model_not_there: |workshop| group(workshop, "answer_tokens = 16\nreward = { model = \"runs/none\" }\n");
    reward_penalty_of_a_mean: |workshop| group(workshop, "reward = { model = \"model\", penalty = 1.0 }\n");
    reward_lexicon_not_there: |workshop| group(workshop, "answer_tokens = 16\nreward = { lexicon = \"words.tsv\" }\n");
    reward_lexicon_broken: |workshop| {
        workshop.write("words.tsv", "good\t1\nbad\n");
        group(workshop, "answer_tokens = 16\nreward = { lexicon = \"words.tsv\" }\n")
    };
    rollout_server_in_sft: |workshop| run_with(workshop, "rollout_server = { url = \"http://127.0.0.1:1\" }\n");
    rollout_server_without_address: |workshop| group(workshop, "rollout_server = { url = \"localhost\" }\n");
    group_key_in_sft: |workshop| run_with(workshop, "samples = 8\n");
    group_with_learn: |workshop| group(workshop, "learn = \"assistant\"\n");
    group_on_texts: |workshop| {
        group(workshop, "");
        workshop.write("data.jsonl", "{\"text\": \"Once upon a time\"}\n");
        run()
    };
    group_on_prompts_without_answers: |workshop| {
        group(workshop, "");
        workshop.write("data.jsonl", "{\"prompt\": \"Hi\"}\n");
        run()
    };
    prompts_of_two_kinds: |workshop| {
        group(workshop, "reward = { pattern = \"e\" }\n");
        workshop.write("data.jsonl", "{\"prompt\": \"Hi\", \"question\": \"Hi?\"}\n");
        run()
    };
    prompts_that_ask_nothing: |workshop| {
        ppo(workshop, "reward = { pattern = \"e\" }\nanswer_tokens = 8\n");
        let turns = json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]);
        workshop.write("data.jsonl", json!({ "messages": turns }).to_string() + "\n");
        run()
    };
    prompts_of_pairs_without_any: |workshop| {
        ppo(workshop, "reward = { pattern = \"e\" }\nanswer_tokens = 8\n");
        workshop.write("data.jsonl", "{\"chosen\": \"a\", \"rejected\": \"b\"}\n");
        run()
    };
    iteration_key_in_sft: |workshop| run_with(workshop, "select = \"best\"\n");
    iteration_unknown_rule: |workshop| iterate(workshop, "select = \"bestest\"\n");
    iteration_rule_that_is_a_list: |workshop| iterate(workshop, "select = [\"best\"]\n");
    iteration_unknown_setting: |workshop| iterate(workshop, "select = { by = \"best\", top = 2 }\n");
    iteration_setting_of_another_rule: |workshop| iterate(workshop, "select = { by = \"best\", above = 0.5 }\n");
    iteration_that_keeps_all: |workshop| iterate(workshop, "samples = 4\nselect = { by = \"best\", keep = 4 }\n");
    iteration_above_1: |workshop| iterate(workshop, "select = { by = \"threshold\", above = 1.0 }\n");
    iteration_right_by_several_terms: |workshop| {
        iterate(workshop, "select = \"right\"\nreward = [{ check = \"number\" }, { length = { per_token = 0.1 } }]\n")
    };
    iteration_with_a_loss: |workshop| iterate(workshop, "loss = \"dpo\"\n");
    iteration_with_clip: |workshop| iterate(workshop, "clip_low = 0.1\n");
    iteration_with_sampler: |workshop| iterate(workshop, "sampler = \"rejection\"\n");
    iteration_with_kl: |workshop| iterate(workshop, "kl_coefficient = 0.1\n");
    quantiles_without_labels: |workshop| iterate(workshop, "select = \"quantiles\"\n");
    quantiles_of_one_label: |workshop| iterate(workshop, "select = { by = \"quantiles\", labels = [\"a\"] }\n");
    quantiles_with_a_label_twice: |workshop| {
        iterate(workshop, "select = { by = \"quantiles\", labels = [\"a\", \"b\", \"a\"] }\n")
    };
    quantiles_without_a_pool: |workshop| {
        iterate(workshop, "select = { by = \"quantiles\", labels = [\"a\", \"b\"], pool = 0 }\n")
    };
    quantiles_with_negative_kl: |workshop| {
        iterate(workshop, "kl_coefficient = -0.1\nselect = { by = \"quantiles\", labels = [\"a\", \"b\"] }\n")
    };
    quantiles_with_demonstrations: |workshop| {
        iterate(workshop, "demonstrations = true\nselect = { by = \"quantiles\", labels = [\"a\", \"b\"] }\n")
    };
    quantiles_with_long_labels: |workshop| {
        let label = "long ".repeat(12);
        let select = format!("select = {{ by = \"quantiles\", labels = [\"a\", \"{label}\"] }}\n");
        iterate(workshop, &format!("answer_tokens = 4\n{select}"))
    };
    demonstrations_that_are_too_long: |workshop| {
        iterate(workshop, "answer_tokens = 4\ndemonstrations = true\nmax_reject_share = 0\n");
        let question = r#"{"role": "user", "content": "Well?"}"#;
        let answer = format!(r#"{{"role": "assistant", "content": "{}"}}"#, "word ".repeat(20));
        workshop.write("data.jsonl", format!("{{\"messages\": [{question}, {answer}]}}\n"));
        run()
    };
    online_key_in_preference: |workshop| prefer(workshop, "sampler = \"rejection\"\n");
    online_on_single_responses: |workshop| online(workshop, "loss = \"kto\"\n");
    online_with_margins: |workshop| online(workshop, "margin_weight = 1.0\n");
    online_with_kl: |workshop| online(workshop, "kl_coefficient = 0.1\n");
    online_with_demonstrations: |workshop| online(workshop, "demonstrations = true\n");
    online_setting_of_another_sampler: |workshop| online(workshop, "sampler = { by = \"policy\", keep = 4 }\n");
    online_beta_zero: |workshop| online(workshop, "sampler = { by = \"rejection\", beta = 0.0 }\n");
    online_that_keeps_more: |workshop| online(workshop, "samples = 4\nsampler = \"rejection\"\n");
    online_missing_end_below_0: |workshop| online(workshop, "missing_end_penalty = -1.0\n");
    preference_swapped_forms: |workshop| {
        prefer(workshop, "");
        workshop.write("pairs.jsonl", "{\"prompt\": \"Hi\", \"chosen\": \" a\", \"rejected\": [{\"role\": \"assistant\", \"content\": \"b\"}]}\n");
        run()
    };
    preference_prompt_too_long: |workshop| {
        prefer(workshop, "");
        let prompt = "word ".repeat(40);
        workshop.write("pairs.jsonl", format!("{{\"prompt\": \"{prompt}\", \"chosen\": \" a\", \"rejected\": \" b\"}}\n"));
        run()
    };
}

// Recipes.
cases! {
    recipe_missing: |_| words("run nothing.toml");
    recipe_is_a_folder: |_| words("run model");
    recipe_empty: |w| { w.write("recipe.toml", ""); run() };
    recipe_not_toml: |w| run_replaced(w, "max_length = 64", "max_length = ");
    recipe_misspelt_key: |w| run_with(w, "learnin_rate = 1e-4\n");
    recipe_misspelt_key_above: |w| run_replaced(w, "compute =", "compote =");
    recipe_unknown_key_in_lora: |w| run_with(w, "lora = { rang = 8 }\n");
    recipe_duplicate_key: |w| run_with(w, "batch_size = 4\n");
    recipe_wrong_type: |w| run_replaced(w, "batch_size = 3", "batch_size = \"three\"");
    recipe_negative_batch: |w| run_replaced(w, "batch_size = 3", "batch_size = -3");
    recipe_zero_batch: |w| run_replaced(w, "batch_size = 3", "batch_size = 0");
    recipe_learning_rate_too_high: |w| run_replaced(w, "learning_rate = 1e-2", "learning_rate = 2.0");
    recipe_unknown_schedule: |w| run_with(w, "schedule = \"cosin\"\n");
    recipe_unknown_stage: |w| run_replaced(w, "kind = \"sft\"", "kind = \"dpo2\"");
    recipe_without_stage: |w| { w.write("recipe.toml", "model = \"model\"\nstage = []\n"); run() };
    recipe_without_data: |w| run_replaced(w, "data = \"data.jsonl\"\n", "");
    recipe_full_and_lora: |w| run_with(w, "tune = \"full\"\nlora = { rank = 4 }\n");
    recipe_validation_twice: |w| run_with(w, "validation_data = \"data.jsonl\"\n");
    recipe_decay_without_wsd: |w| run_with(w, "decay_share = 0.2\n");
    recipe_bad_lora_target: |w| run_with(w, "lora = { targets = [\"q_porj\"] }\n");
    recipe_layer_beyond_the_model: |w| run_with(w, "layers = [0, 7]\n");
    recipe_data_missing: |w| run_replaced(w, "data.jsonl", "dat.jsonl");
    recipe_set_unknown: |_| words("run recipe.toml --set stage.lerning_rate=1");
    recipe_set_without_value: |_| words("run recipe.toml --set stage.learning_rate");
    recipe_set_beyond_the_stages: |_| words("run recipe.toml --set stage.3.epochs=1");
    recipe_name_is_a_path: |w| run_replaced(w, "name = \"tiny\"", "name = \"../tiny\"");
}

// Data.
cases! {
    data_cut_parquet: |w| run_on(w, "bad.parquet", "PAR1 and then nothing");
    data_binary: |w| run_on(w, "bad.jsonl", (0..=255_u8).collect::<Vec<u8>>());
    data_broken_line: |w| run_on(w, "bad.jsonl", GOOD.repeat(3) + "{\"prompt\": \"Hi\", \n");
    data_empty: |w| run_on(w, "bad.jsonl", "");
    data_unknown_columns: |w| run_on(w, "bad.jsonl", "{\"q\": \"Hi\", \"a\": \"Hello\"}\n".repeat(3));
    data_not_utf8: |w| run_on(w, "bad.jsonl", [GOOD.as_bytes(), b"{\"prompt\": \"\xff\xfe\"}\n"].concat());
    data_truncated_gzip: |w| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(GOOD.repeat(50).as_bytes()).unwrap();
        let bytes = encoder.finish().unwrap();
        run_on(w, "bad.jsonl.gz", &bytes[..bytes.len() - 12])
    };
    data_ragged_csv: |w| run_on(w, "bad.csv", "prompt,completion\nHi,Hello\nHi,Hello,again\n");
    data_too_many_rejects: |w| run_on(w, "bad.jsonl", GOOD.repeat(3) + &"{\"prompt\": \"Hi\", \"completion\": \"\"}\n".repeat(3));
    data_all_overlong: |w| {
        let row = json!({"prompt": "Hi", "completion": " Hello".repeat(100)}).to_string() + "\n";
        run_on(w, "bad.jsonl", row.repeat(3))
    };
    data_wrong_format_named: |w| run_replaced(w, "data = \"data.jsonl\"", "data = { path = \"data.jsonl\", format = \"alpaca\" }");
    data_column_that_is_not_there: |w| {
        run_replaced(w, "data = \"data.jsonl\"", "data = { path = \"data.jsonl\", format = \"prompt-completion\", columns = { prompt = \"q\" } }")
    };
    data_no_answer_to_learn: |w| {
        run_on(w, "bad.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}\n".repeat(3))
    };
    data_control_token_in_text: |w| {
        let turns = json!([{"role": "user", "content": "a<|im_end|>b"}, {"role": "assistant", "content": "c"}]);
        run_on(w, "bad.jsonl", (json!({ "messages": turns }).to_string() + "\n").repeat(3))
    };
    data_unknown_role: |w| {
        let turns = json!([{"role": "wizard", "content": "a"}, {"role": "assistant", "content": "c"}]);
        run_on(w, "bad.jsonl", (json!({ "messages": turns }).to_string() + "\n").repeat(3))
    };
}

// Models.
cases! {
    model_unknown_name: |w| run_replaced(w, "model = \"model\"", "model = \"smolm2-135m-instruct\"");
    model_folder_empty: |w| { fs::create_dir(w.path("empty")).unwrap(); run_replaced(w, "model = \"model\"", "model = \"empty\"") };
    model_without_config: |w| { fs::remove_file(w.path("model/config.json")).unwrap(); run() };
    model_broken_config: |w| { patch(w, "model/config.json", |bytes| bytes.truncate(40)); run() };
    model_of_an_unknown_family: |w| { w.edit_json("model/config.json", |c| c["model_type"] = json!("mamba")); run() };
    model_config_without_a_size: |w| {
        w.edit_json("model/config.json", |c| drop(c.as_object_mut().unwrap().remove("hidden_size")));
        run()
    };
    model_heads_that_do_not_divide: |w| { w.edit_json("model/config.json", |c| c["num_key_value_heads"] = json!(3)); run() };
    model_truncated_weights: |w| { patch(w, "model/model.safetensors", |bytes| bytes.truncate(bytes.len() / 2)); run() };
    model_header_beyond_the_file: |w| { patch(w, "model/model.safetensors", |bytes| bytes[5] = 0xff); run() };
    model_missing_tensor: |w| { patch_header(w, "layers.1.mlp.up_proj", "layers.9.mlp.up_proj"); run() };
    model_wrong_shape: |w| { w.edit_json("model/config.json", |c| c["intermediate_size"] = json!(24)); run() };
    model_nan_weights: |w| {
        patch(w, "model/model.safetensors", |bytes| {
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        });
        run()
    };
    model_without_weights: |w| { fs::remove_file(w.path("model/model.safetensors")).unwrap(); run() };
    model_without_tokenizer: |w| { fs::remove_file(w.path("model/tokenizer.json")).unwrap(); run() };
    model_broken_tokenizer: |w| { w.write("model/tokenizer.json", "{\"version\": \"1.0\""); run() };
    model_vocabulary_larger_than_the_table: |w| {
        w.edit_json("model/tokenizer.json", |t| {
            let token = json!({"id": 300, "content": "<|extra|>", "single_word": false, "lstrip": false, "rstrip": false,
                               "normalized": false, "special": true});
            t["added_tokens"].as_array_mut().unwrap().push(token);
        });
        let turns = json!([{"role": "user", "content": "<|extra|>"}, {"role": "assistant", "content": "c"}]);
        run_on(w, "bad.jsonl", (json!({ "messages": turns }).to_string() + "\n").repeat(3))
    };
    model_template_does_not_compile: |w| { w.write("model/chat_template.jinja", "{% for m in messages %}{{ m.content }}"); run() };
    model_template_without_end_of_turn: |w| { w.write("model/chat_template.jinja", TEMPLATE.replace("<|im_end|>", "")); run() };
    model_template_refuses: |w| { w.write("model/chat_template.jinja", "{{ raise_exception('only tools') }}"); run() };
    model_without_template: |w| { fs::remove_file(w.path("model/chat_template.jinja")).unwrap(); run() };
    model_truncated_gguf: |w| {
        w.succeed(&["export", "model", "model.gguf"]);
        patch(w, "model.gguf", |bytes| bytes.truncate(bytes.len() - 100));
        words("chat model.gguf --message Hi")
    };
    model_not_gguf: |w| { w.write("model.gguf", "GGML and more"); words("inspect model model.gguf") };
    adapter_without_its_base: |w| {
        w.succeed(&["run", "recipe.toml"]);
        w.edit_json("runs/tiny/adapter/adapter_config.json", |c| c["base_model_name_or_path"] = json!("gone"));
        words("chat runs/tiny/adapter --message Hi")
    };
    adapter_of_another_rank: |w| {
        w.succeed(&["run", "recipe.toml"]);
        w.edit_json("runs/tiny/adapter/adapter_config.json", |c| c["r"] = json!(3));
        words("chat runs/tiny/adapter --message Hi")
    };
}

// Runs and commands.
cases! {
    run_directory_below_a_file: |w| { w.write("runs", "a file"); run() };
    run_changed_since_the_checkpoint: |w| {
        w.succeed(&["run", "recipe.toml"]);
        run_replaced(w, "learning_rate = 1e-2", "learning_rate = 1e-3")
    };
    run_whose_checkpoints_are_all_corrupt: |w| {
        w.succeed(&["run", "recipe.toml"]);
        fs::remove_file(w.path("runs/tiny/finished.json")).unwrap();
        for checkpoint in fs::read_dir(w.path("runs/tiny/checkpoints")).unwrap() {
            for file in fs::read_dir(checkpoint.unwrap().path()).unwrap() {
                fs::write(file.unwrap().path(), "damaged").unwrap();
            }
        }
        run()
    };
    run_that_diverges: |w| {
        patch(w, "model/model.safetensors", |bytes| {
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&f32::MAX.to_le_bytes());
        });
        run()
    };
    run_without_checks_that_diverges: |w| {
        patch(w, "model/model.safetensors", |bytes| {
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&f32::MAX.to_le_bytes());
        });
        words("run recipe.toml --no-checks")
    };
    run_without_validation_that_diverges: |w| {
        patch(w, "model/model.safetensors", |bytes| {
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&f32::MAX.to_le_bytes());
        });
        w.write("recipe.toml", recipe("").replace("validation_share = 0.2", "validation_share = 0").replace("eval_every = 2\n", ""));
        let mut arguments = run();
        arguments.push("--no-checks".into());
        arguments
    };
    score_of_a_missing_file: |_| words("score model nothing.jsonl");
    inspect_run_that_is_none: |_| words("inspect run model");
    export_onto_a_file: |w| { w.write("out", "a file"); words("export model out") };
    export_to_gguf_as_bf16: |_| words("export model model.gguf --dtype bf16");
    chat_with_a_bad_temperature: |_| words("chat model --message Hi --temperature=-1");
    generate_with_beams_of_unequal_groups: |w| {
        w.write("prompts.jsonl", "{\"prompt\": \"Hi\"}\n");
        words("generate model prompts.jsonl --out out.jsonl --beams 4 --beam-groups 3 --max-tokens 8")
    };
    generate_from_a_row_that_is_broken: |w| {
        w.write("prompts.jsonl", "{\"prompt\": \"Hi\"}\n{\"prompt\": 7}\n{\"prompt\": \"\"}\n");
        words("generate model prompts.jsonl --out out.jsonl")
    };
    generate_from_unknown_columns: |w| {
        w.write("prompts.jsonl", "{\"query\": \"Hi\"}\n");
        words("generate model prompts.jsonl --out out.jsonl")
    };
    generate_from_a_column_that_is_not_there: |w| {
        w.write("prompts.jsonl", "{\"query\": \"Hi\"}\n");
        words("generate model prompts.jsonl --out out.jsonl --column prompt=qery")
    };
    generate_more_answers_than_beams: |w| {
        w.write("prompts.jsonl", "{\"prompt\": \"Hi\"}\n");
        words("generate model prompts.jsonl --out out.jsonl --beams 2 -n 3")
    };
    inspect_batch_beyond_the_stages: |_| words("inspect batch recipe.toml --stage 4");
}

/// Nothing already produced is lost when the disk is full: the run ends with an error and goes on later.
#[cfg(unix)]
#[test]
fn disk_full() {
    let workshop = Workshop::new();
    workshop.write("recipe.toml", recipe("tune = \"full\"\n"));
    let limited = |blocks: usize| {
        let camelid = workshop.command(&["run", "recipe.toml"]);
        let mut shell = Command::new("bash");
        // A file that would grow beyond the limit fails to be written, as on a full disk.
        let script =
            format!("trap '' XFSZ; ulimit -f {blocks}; exec {} run recipe.toml", env!("CARGO_BIN_EXE_camelid"));
        shell.args(["-c", &script]).current_dir(workshop.path(""));
        shell.envs(camelid.get_envs().filter_map(|(key, value)| Some((key, value?))));
        shell.output().unwrap()
    };
    let message = workshop.failed(&limited(40));
    assert!(message.contains("fix: "), "{message}");
    insta::assert_snapshot!("disk_full", tidy(&message));
    workshop.succeed(&["run", "recipe.toml"]);
}
