//! Rewards of every kind, and answers that another process draws, as a user runs them, on a tiny model.

mod support;

use serde_json::{Value as Json, json};
use support::Workshop;

fn recipe(name: &str, lines: &str) -> String {
    format!(
        "name = \"{name}\"\nmodel = \"model\"\ncompute = \"f32\"\nthreads = 1\n\n[[stage]]\nkind = \"group\"\n\
         data = \"prompts.jsonl\"\nvalidation_share = 0.25\nmax_length = 96\nbatch_size = 3\nsamples = 4\n\
         answer_tokens = 12\nmax_steps = 2\nlearning_rate = 1e-2\nlora = {{ rank = 4 }}\n{lines}"
    )
}

fn workshop() -> Workshop {
    let workshop = Workshop::new();
    let rows: String =
        (0..8).map(|i| json!({"prompt": format!("Say {i}: "), "completion": "e"}).to_string() + "\n").collect();
    workshop.write("prompts.jsonl", rows);
    workshop
}

/// The steps of a run, without what takes another time each time.
fn steps(workshop: &Workshop, name: &str) -> Vec<Json> {
    let metrics = workshop.read(&format!("runs/{name}/metrics.jsonl"));
    let lines = metrics.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    lines.filter(|line| line["reward"].is_number()).collect()
}

#[test]
fn terms_are_told_apart_and_added() {
    let workshop = workshop();
    workshop.write("words.tsv", "good\t2.0\nbad\t-2.0\n");
    let terms = "reward = [{ check = \"contains\" }, { pattern = \"[a-m]\", weight = 0.5 }, { length = { per_token = 0.125 } }, \
                 { lexicon = \"words.tsv\", with_prompt = true }]\n";
    workshop.write("recipe.toml", recipe("terms", terms));
    workshop.succeed(&["run", "recipe.toml"]);
    for step in steps(&workshop, "terms") {
        let mean = |name: &str| step[format!("rewards/{name}/mean")].as_f64().unwrap();
        assert_eq!(mean("length"), -0.125 * step["completions/mean_length"].as_f64().unwrap());
        let sum = mean("contains") + 0.5 * mean("pattern") + mean("length") + mean("sentiment");
        assert!((sum - step["reward"].as_f64().unwrap()).abs() < 1e-9, "{step}");
    }
}

/// A reward model judges, and one that nothing speaks for is not used unasked.
#[test]
fn a_reward_model_must_be_certified_or_forced() {
    let workshop = workshop();
    let pairs: String = (0..12)
        .map(|i| json!({"prompt": format!("Say {i}: "), "chosen": "yes", "rejected": "no"}).to_string() + "\n")
        .collect();
    workshop.write("pairs.jsonl", pairs);
    let reward = "name = \"judge\"\nmodel = \"model\"\ncompute = \"f32\"\n\n[[stage]]\nkind = \"reward\"\ndata = \"pairs.jsonl\"\n\
                  validation_share = 0.25\nlora = { rank = 4 }\nmax_steps = 2\n";
    workshop.write("reward.toml", reward);
    workshop.succeed(&["run", "reward.toml"]);
    workshop.write("recipe.toml", recipe("judged", "reward = { model = \"runs/judge\" }\n"));
    let refused = workshop.fail(&["run", "recipe.toml"]);
    assert!(refused.contains("runs/judge is not certified") && refused.contains("force = true"), "{refused}");
    workshop.write("recipe.toml", recipe("judged", "reward = { model = \"runs/judge\", force = true }\n"));
    let output = workshop.run(&["run", "recipe.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.contains("warning: the reward model runs/judge is used although"),
        "{said}"
    );
    assert!(steps(&workshop, "judged").iter().all(|step| step["rewards/model/mean"].is_number()));
}

/// The server draws what the trainer would, from the weights that it is sent before each round.
#[test]
fn a_server_draws_the_same_answers() {
    let workshop = workshop();
    let mut server = workshop.spawn(&["serve", "model", "--port", "0", "--compute", "f32", "--allow-weight-updates"]);
    let address = server.wait_for("answers on ");
    let url = address.split("/v1").next().unwrap();
    workshop.write("recipe.toml", recipe("own", "reward = \"contains\"\n"));
    workshop.succeed(&["run", "recipe.toml"]);
    let lines = format!("reward = \"contains\"\nrollout_server = {{ url = \"{url}\" }}\n");
    workshop.write("recipe.toml", recipe("served", &lines));
    workshop.succeed(&["run", "recipe.toml"]);
    let (own, served) = (steps(&workshop, "own"), steps(&workshop, "served"));
    assert_eq!(own.len(), served.len());
    for (round, (own, served)) in own.iter().zip(&served).enumerate() {
        for name in ["reward", "completions/mean_length", "num_tokens"] {
            assert_eq!(own[name], served[name], "round {round}: {name}");
        }
        let figure = |name: &str| served[name].as_f64().unwrap();
        assert!(figure("sampling/server_logp_difference/max") < 1e-4, "{served}");
        assert_eq!(figure("sampling/sampling_logp_difference/mean"), 0.0, "log-probabilities are the trainer's own");
    }
    let versions: Vec<f64> = served.iter().map(|step| step["sampling/weight_version"].as_f64().unwrap()).collect();
    assert!(versions[1] > versions[0], "{versions:?}");
    server.terminate();
}
