//! Preference stages as a user runs them, on a tiny model.

mod support;

use serde_json::{Value as Json, json};
use support::Workshop;

/// Every loss of a preference stage that takes groups, and those that take single responses.
const GROUPS: [&str; 24] = [
    "dpo",
    "robust-dpo",
    "ipo",
    "slic",
    "slic-sigmoid",
    "rso",
    "rso-hinge",
    "rso-hinge-norm",
    "simpo",
    "cpo",
    "orpo",
    "f-dpo-forward-kl",
    "f-dpo-jensen-shannon",
    "f-dpo-alpha",
    "exo",
    "nca",
    "sppo",
    "apo-zero",
    "apo-down",
    "discopop",
    "rrhf",
    "pro",
    "preferred",
    "unlikelihood",
];
const SINGLE: [&str; 2] = ["kto", "bco"];

fn recipe(loss: &str, lines: &str) -> String {
    format!(
        "name = \"tiny\"\nmodel = \"model\"\ncompute = \"f32\"\nthreads = 1\n\n[[stage]]\nkind = \"preference\"\n\
         loss = \"{loss}\"\ndata = \"pairs.jsonl\"\nvalidation_share = 0.25\nmax_length = 96\nbatch_size = 4\n\
         epochs = 8\nlearning_rate = 1e-2\ncheckpoint_every = 4\n{lines}"
    )
}

/// Prompts with two or three scored answers; the better ones say yes.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    let rows: Vec<String> = (0..16)
        .map(|i| {
            let prompt = json!([{"role": "user", "content": format!("Question {i}?")}]);
            let answers = ["yes, yes", "perhaps", "no, never"];
            let answers: Vec<Json> = answers[i % 2..].iter().map(|a| json!(format!("{a} {i}"))).collect();
            let scores: Vec<usize> = (0..answers.len()).rev().collect();
            json!({"prompt": prompt, "responses": answers, "scores": scores}).to_string() + "\n"
        })
        .collect();
    workshop.write("pairs.jsonl", rows.concat());
    workshop
}

fn metrics(workshop: &Workshop) -> Vec<Json> {
    workshop.read("runs/tiny/metrics.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_loss_learns_the_preferences_it_is_shown() {
    for loss in GROUPS.into_iter().chain(SINGLE) {
        let workshop = workshop();
        workshop.write("recipe.toml", recipe(loss, "lora = { rank = 4 }\n"));
        workshop.succeed(&["run", "recipe.toml"]);
        let metrics = metrics(&workshop);
        let steps: Vec<&Json> = metrics.iter().filter(|line| line["loss"].is_number()).collect();
        let value = |line: &Json, key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{loss}: {key} of {line}"));
        let margin = |line: &Json| value(line, "rewards/chosen") - value(line, "rewards/rejected");
        let (first, last) = (steps[0], steps[steps.len() - 1]);
        assert!(steps.iter().all(|line| value(line, "loss").is_finite()), "{loss}");
        // The baseline that only imitates the best answer need not move away from the others, and DiscoPOP's loss has a
        // second optimum at negative margins.
        if !["preferred", "discopop"].contains(&loss) {
            assert!(margin(last) > margin(first), "{loss}: {} -> {}", margin(first), margin(last));
        }
        let evaluations: Vec<f64> = metrics.iter().filter_map(|line| line["eval_loss"].as_f64()).collect();
        assert!(evaluations[evaluations.len() - 1] < evaluations[0], "{loss}: {evaluations:?}");
        assert!(workshop.path("runs/tiny/adapter/adapter_model.safetensors").is_file());
    }
}

#[test]
fn checks_say_that_policy_is_reference() {
    let workshop = workshop();
    workshop.write("recipe.toml", recipe("dpo", "lora = { rank = 4 }\n"));
    let output = workshop.run(&["run", "recipe.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("check: policy is reference: 0 of "), "{said}");
    assert!(said.contains("rewards 0.0e0 and 0.0e0; loss 0.6931"), "{said}");
    assert!(said.contains("reward accuracy"), "{said}");
    let first = metrics(&workshop).into_iter().find(|line| line["loss"].is_number()).unwrap();
    assert!((first["loss"].as_f64().unwrap() - std::f64::consts::LN_2).abs() < 1e-12);
    assert_eq!(first["rewards/margins"], 0.0);
}

/// All weights change, so the reference is what was recorded before the first step, also after a resume.
#[test]
fn full_tuning_keeps_its_reference_over_a_resume() {
    let workshop = workshop();
    workshop.write("recipe.toml", recipe("dpo", "tune = \"full\"\nmax_steps = 8\n").replace("1e-2", "1e-3"));
    workshop.succeed(&["run", "recipe.toml"]);
    let weights = std::fs::read(workshop.path("runs/tiny/model/model.safetensors")).unwrap();
    let losses = |workshop: &Workshop| -> Vec<f64> {
        metrics(workshop).iter().filter_map(|line| line["loss"].as_f64()).collect()
    };
    let whole = losses(&workshop);
    assert!((whole[0] - std::f64::consts::LN_2).abs() < 1e-12 && whole[7] < whole[0], "{whole:?}");
    assert!(workshop.path("runs/tiny/reference.jsonl").is_file());
    std::fs::remove_file(workshop.path("runs/tiny/finished.json")).unwrap();
    std::fs::remove_dir_all(workshop.path("runs/tiny/checkpoints/step-8")).unwrap();
    let output = workshop.run(&["run", "recipe.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("resuming after step 4"), "{said}");
    assert_eq!(losses(&workshop), whole);
    assert!(std::fs::read(workshop.path("runs/tiny/model/model.safetensors")).unwrap() == weights);
}

/// A reference that follows the policy is part of the checkpoint; one that stays can score new responses.
#[test]
fn a_kept_copy_of_the_policy_is_a_reference() {
    let workshop = workshop();
    let lines = "tune = \"full\"\nmax_steps = 8\nreference_update = { every = 3, share = 0.5 }\n";
    workshop.write("recipe.toml", recipe("dpo", lines).replace("1e-2", "1e-3"));
    let output = workshop.run(&["run", "recipe.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("check: policy is reference: 0 of "), "{said}");
    let weights = std::fs::read(workshop.path("runs/tiny/model/model.safetensors")).unwrap();
    let whole = metrics(&workshop);
    std::fs::remove_file(workshop.path("runs/tiny/finished.json")).unwrap();
    std::fs::remove_dir_all(workshop.path("runs/tiny/checkpoints/step-8")).unwrap();
    workshop.succeed(&["run", "recipe.toml"]);
    let losses = |metrics: Vec<Json>| metrics.iter().filter_map(|line| line["loss"].as_f64()).collect::<Vec<_>>();
    assert_eq!(losses(metrics(&workshop)), losses(whole));
    assert!(std::fs::read(workshop.path("runs/tiny/model/model.safetensors")).unwrap() == weights);

    workshop.write("recipe.toml", recipe("kto", "tune = \"full\"\nmax_steps = 4\n").replace("1e-2", "1e-3"));
    let output = workshop.run(&["run", "recipe.toml", "--restart"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("check: policy is reference: 0 of "), "{said}");
    assert!(metrics(&workshop).iter().filter_map(|line| line["kl"].as_f64()).all(|kl| kl >= 0.0));
}

#[test]
fn the_other_commands_read_preference_recipes() {
    let workshop = workshop();
    workshop.write("recipe.toml", recipe("ipo", "tau = 0.2\nlora = { rank = 4 }\npairs = \"best-worst\"\n"));
    let plan = workshop.succeed(&["plan", "recipe.toml"]);
    for expected in ["name = \"ipo\"", "tau = 0.2", "pairs = \"best-worst\"", "# steps"] {
        assert!(plan.contains(expected), "{expected}: {plan}");
    }
    let batch = workshop.succeed(&["inspect", "batch", "recipe.toml"]);
    assert!(batch.contains("[[yes, yes ") && batch.contains("continues run"), "{batch}");
    let data = workshop.succeed(&["inspect", "data", "pairs.jsonl"]);
    assert!(data.contains("format ranked, 16 records"), "{data}");
}

/// What cannot be compared is refused and counted; what is left is trained on.
#[test]
fn refused_rows_are_named() {
    let workshop = workshop();
    let good = workshop.read("pairs.jsonl");
    let long = "word ".repeat(40);
    let rows = [
        json!({"prompt": "p", "responses": ["a", "a"], "scores": [2, 1]}),
        json!({"prompt": "p", "responses": ["a", "b"], "scores": [1, 1]}),
        json!({"prompt": [{"role": "user", "content": long}], "responses": ["a", "b"], "scores": [2, 1]}),
    ];
    let rows: String = rows.iter().map(|row| row.to_string() + "\n").collect();
    workshop.write("pairs.jsonl", good + &rows);
    workshop.write("recipe.toml", recipe("dpo", "lora = { rank = 4 }\nmax_steps = 1\nmax_reject_share = 0.5\n"));
    workshop.succeed(&["run", "recipe.toml"]);
    let rejects = workshop.read("runs/tiny/rejects.jsonl");
    for expected in ["two responses are identical", "all responses tie", "response 1: has 2"] {
        assert!(rejects.contains(expected), "{expected}: {rejects}");
    }
    assert_eq!(rejects.lines().count(), 3);
}

/// SLiC's regulariser holds on to the answers that the data names; what other losses do with them is said.
#[test]
fn reference_answers_are_read_by_the_losses_that_have_a_use_for_them() {
    let workshop = workshop();
    let rows: String = workshop
        .read("pairs.jsonl")
        .lines()
        .enumerate()
        .map(|(index, line)| {
            let mut row: Json = serde_json::from_str(line).unwrap();
            if index % 4 > 0 {
                row["reference"] = json!("as asked");
            }
            row.to_string() + "\n"
        })
        .collect();
    workshop.write("pairs.jsonl", rows);
    let lines = "lambda = 1\ndelta = 5\nlora = { rank = 4 }\n";
    workshop.write("recipe.toml", recipe("slic", lines));
    let output = workshop.run(&["run", "recipe.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("slic keeps the `reference` answers of 12 of 16 records likely"), "{said}");
    assert!(said.contains("check: forest equals dense"), "{said}");
    let steps: Vec<Json> = metrics(&workshop).into_iter().filter(|line| line["loss"].is_number()).collect();
    let kept = |line: &Json| line["logps/reference_answer"].as_f64();
    let kept: Vec<f64> = steps.iter().filter_map(kept).collect();
    assert!(kept[kept.len() - 1] > kept[0] + 5.0, "{kept:?}");
    assert!(
        steps.iter().any(|line| line["reference_answers"].as_f64().is_some_and(|share| share > 0.0 && share < 1.0))
    );
    for (loss, name) in [("dpo", "dpo"), ("kto", "kto"), ("slic\"\nlambda = 0 #", "slic")] {
        workshop.write("recipe.toml", recipe(loss, "lora = { rank = 4 }\n"));
        let output = workshop.run(&["plan", "recipe.toml"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = format!("12 of 16 records have a `reference` answer, which {name} does not read");
        assert!(output.status.success() && said.contains(&expected), "{said}");
    }
}

#[test]
fn a_reward_model_is_trained_reported_saved_and_used() {
    let workshop = workshop();
    for tuning in ["lora = { rank = 4 }\n", "tune = \"full\"\n"] {
        let recipe = recipe("dpo", tuning).replace("\"preference\"\nloss = \"dpo\"", "\"reward\"");
        workshop.write("recipe.toml", recipe);
        let output = workshop.run(&["run", "recipe.toml", "--restart"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("not certified") && said.contains("4 held-out prompts decide nothing"), "{said}");
        assert!(said.contains("camelid score runs/tiny"), "{said}");
        let metrics = metrics(&workshop);
        let first = metrics.iter().find(|line| line["loss"].is_number()).unwrap();
        assert!((first["loss"].as_f64().unwrap() - std::f64::consts::LN_2).abs() < 1e-6, "{first}");
        let accuracies: Vec<f64> = metrics.iter().filter_map(|line| line["eval_accuracy"].as_f64()).collect();
        assert!(accuracies[0] == 0.5 && accuracies[accuracies.len() - 1] > 0.9, "{accuracies:?}");
        let report: Json = serde_json::from_str(&workshop.read("runs/tiny/reward_report.json")).unwrap();
        assert_eq!((report["certified"].as_bool(), report["prompts"].as_u64()), (Some(false), Some(4)));

        let row = |answer: &str| json!({"messages": [{"role": "user", "content": "Question 3?"}, {"role": "assistant", "content": answer}]});
        workshop.write("answers.jsonl", format!("{}\n{}\n", row("perhaps 3"), row("no, never 3")));
        let scores = workshop.succeed(&["score", "runs/tiny", "answers.jsonl"]);
        let scores: Vec<f64> = scores
            .lines()
            .map(|line| serde_json::from_str::<Json>(line).unwrap()["reward"].as_f64().unwrap())
            .collect();
        assert!(scores[0] > scores[1], "{scores:?}");
        let config: Json = serde_json::from_str(&workshop.read("runs/tiny/model/config.json")).unwrap();
        assert_eq!(config["architectures"][0], "LlamaForSequenceClassification");
    }
}

/// Members differ by their seeds only, each is a run that loads by itself, and a killed one goes on to the same bits; together
/// they judge on one scale.
#[test]
fn members_of_an_ensemble_are_trained_resumed_and_combined() {
    let workshop = workshop();
    let members = |lines: &str| {
        recipe("dpo", &format!("lora = {{ rank = 4 }}\n{lines}"))
            .replace("\"preference\"\nloss = \"dpo\"", "\"reward\"")
    };
    workshop.write("recipe.toml", members("members = 2\n"));
    let output = workshop.run(&["run", "recipe.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("2 members on one scale are in runs/tiny"), "{said}");
    let weights = |number: usize| {
        std::fs::read(workshop.path(&format!("runs/tiny/member-{number}/model/model.safetensors"))).unwrap()
    };
    let trained = [weights(1), weights(2)];
    assert!(trained[0] != trained[1]);
    let judged = [workshop.read("runs/tiny/ensemble.json"), workshop.read("runs/tiny/reward_report.json")];
    let report: Json = serde_json::from_str(&judged[1]).unwrap();
    assert_eq!((report["certified"].as_bool(), report["prompts"].as_u64()), (Some(false), Some(4)));

    // Killed within the second member.
    std::fs::remove_file(workshop.path("runs/tiny/ensemble.json")).unwrap();
    std::fs::remove_file(workshop.path("runs/tiny/member-2/finished.json")).unwrap();
    std::fs::remove_dir_all(workshop.path("runs/tiny/member-2/checkpoints/step-24")).unwrap();
    let output = workshop.run(&["run", "recipe.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("member-1 is finished") && said.contains("resuming after step 20"), "{said}");
    assert!([weights(1), weights(2)] == trained);
    assert_eq!([workshop.read("runs/tiny/ensemble.json"), workshop.read("runs/tiny/reward_report.json")], judged);

    let row = |answer: &str| json!({"messages": [{"role": "user", "content": "Question 3?"}, {"role": "assistant", "content": answer}]});
    workshop.write("answers.jsonl", format!("{}\n{}\n", row("perhaps 3"), row("no, never 3")));
    let score = |arguments: &[&str]| -> Vec<Json> {
        let out = workshop.succeed(&[&["score"], arguments, &["answers.jsonl"]].concat());
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let number = |value: &Json| value.as_f64().unwrap_or_else(|| panic!("{value}"));
    let mean = score(&["runs/tiny"]);
    let lower = score(&["runs/tiny", "--combine", "lower-bound", "--penalty", "2"]);
    let worst = score(&["runs/tiny/member-1", "runs/tiny/member-2", "--combine", "minimum"]);
    let alone = [score(&["runs/tiny/member-1"]), score(&["runs/tiny/member-2/model"])];
    let ensemble: Json = serde_json::from_str(&judged[0]).unwrap();
    for line in 0..2 {
        let scaled: Vec<f64> = (0..2)
            .map(|member| {
                assert!(alone[member][line].get("members").is_none());
                let scale = &ensemble["members"][member];
                (number(&alone[member][line]["reward"]) - number(&scale["mean"])) / number(&scale["deviation"])
            })
            .collect();
        let close = |scored: &Json, by_hand: f64| {
            assert!((number(&scored["reward"]) - by_hand).abs() < 1e-4, "{scored} is not {by_hand}");
            for (member, own) in scaled.iter().enumerate() {
                assert!((number(&scored["members"][member]) - own).abs() < 1e-4, "{scored}: {own}");
            }
        };
        close(&mean[line], f64::midpoint(scaled[0], scaled[1]));
        close(&worst[line], scaled[0].min(scaled[1]));
        // Two members: the sample deviation is their distance over √2.
        let deviation = (scaled[0] - scaled[1]).abs() / std::f64::consts::SQRT_2;
        close(&lower[line], f64::midpoint(scaled[0], scaled[1]) - 2.0 * deviation);
    }
    assert!(number(&mean[0]["reward"]) > number(&mean[1]["reward"]), "{mean:?}");

    for (arguments, expected) in [
        (
            &["score", "runs/tiny/member-1", "--combine", "mean", "answers.jsonl"][..],
            "--combine is set but there is one model",
        ),
        (&["score", "runs/tiny", "--penalty", "1", "answers.jsonl"], "--penalty belongs to the lower bound"),
        (&["score", "runs/tiny", "--combine", "lower-bound", "--penalty=-1", "answers.jsonl"], "--penalty is -1"),
        (&["score", "answers.jsonl"], "there is a model or a file, not both"),
        (&["score", "runs/tiny/member-1", "model", "answers.jsonl"], "this is no reward model"),
        (&["chat", "runs/tiny", "-m", "Hi"], "this is an ensemble of reward models"),
    ] {
        let said = workshop.fail(arguments);
        assert!(said.contains(expected) && said.contains("fix: "), "{said}");
    }
    workshop.write("recipe.toml", members(""));
    assert!(workshop.fail(&["run", "recipe.toml"]).contains("another number of `members`"));
    // A share of so few rows that it holds out none.
    workshop.write("recipe.toml", members("members = 2\n").replace("share = 0.25", "share = 0.001"));
    let said = workshop.fail(&["run", "recipe.toml", "--restart"]);
    assert!(said.contains("no record is held out to bring the members to one scale"), "{said}");
    assert!(!workshop.path("runs/tiny/member-1").exists());
    for (recipe, expected) in [
        (members("members = 0\n"), "`members` is 0"),
        (members("members = 2\n").replace("share = 0.25", "share = 0"), "nothing is held out to bring them"),
        (recipe("dpo", "members = 2\n"), "`members` belongs to reward stages"),
    ] {
        workshop.write("recipe.toml", recipe);
        assert!(workshop.fail(&["plan", "recipe.toml"]).contains(expected));
    }
}

/// Solutions whose steps say whether they are right.
#[test]
fn process_and_outcome_models_learn_what_is_right() {
    let workshop = Workshop::new();
    let prompt = |i: usize| json!([{"role": "user", "content": format!("Question {i}?")}]);
    let steps: String = (0..16)
        .map(|i| {
            let labels = [true, i % 2 == 0, i % 4 == 0];
            let said: Vec<&str> = labels.iter().map(|right| if *right { "yes, fine" } else { "no, never" }).collect();
            json!({"prompt": prompt(i), "completions": said, "labels": labels}).to_string() + "\n"
        })
        .collect();
    let outcomes: String = (0..16)
        .map(|i| {
            let said = json!([{"role": "assistant", "content": if i % 2 == 0 { "yes, fine" } else { "no, never" }}]);
            json!({"prompt": prompt(i), "completion": said, "label": i % 2 == 0}).to_string() + "\n"
        })
        .collect();
    for (loss, data, labels) in [("process", steps, 12), ("outcome", outcomes, 4)] {
        workshop.write("pairs.jsonl", data);
        let recipe = recipe(loss, "lora = { rank = 4 }\n").replace("\"preference\"", "\"reward\"");
        workshop.write("recipe.toml", recipe);
        let output = workshop.run(&["run", "recipe.toml", "--restart"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let metrics = metrics(&workshop);
        let first = metrics.iter().find(|line| line["loss"].is_number()).unwrap();
        assert!((first["loss"].as_f64().unwrap() - std::f64::consts::LN_2).abs() < 1e-6, "{first}");
        let accuracies: Vec<f64> = metrics.iter().filter_map(|line| line["eval_accuracy"].as_f64()).collect();
        assert!(accuracies[accuracies.len() - 1] > 0.9, "{loss}: {accuracies:?}");
        let report: Json = serde_json::from_str(&workshop.read("runs/tiny/reward_report.json")).unwrap();
        assert_eq!((report["solutions"].as_u64(), report["labels"].as_u64()), (Some(4), Some(labels)), "{report}");
        assert!(said.contains("4 held-out solutions decide nothing"), "{said}");
    }
}

/// Good and bad answers are both demonstrations, each behind its label; a source's weight scales its loss.
#[test]
fn conditions_and_weights_reach_the_batch() {
    let workshop = workshop();
    let plain =
        recipe("dpo", "lora = { rank = 4 }\nmax_steps = 1\n").replace("\"preference\"\nloss = \"dpo\"", "\"sft\"");
    workshop.write("recipe.toml", format!("{plain}condition = {{ labels = [\"bad: \", \"so-so: \", \"good: \"] }}\n"));
    let batch = workshop.succeed(&["inspect", "batch", "recipe.toml"]);
    workshop.succeed(&["run", "recipe.toml"]);
    let joined = batch.replace(char::is_whitespace, "");
    assert!(["bad:", "good:"].iter().all(|label| joined.contains(label)), "{batch}");

    let demonstrations: String =
        (0..8).map(|i| json!({"prompt": format!("Question {i}?"), "completion": " yes"}).to_string() + "\n").collect();
    workshop.write("more.jsonl", demonstrations);
    let first_loss = |source: &str| {
        let recipe =
            plain.replace("\"pairs.jsonl\"", source).replace("validation_share = 0.25", "validation_share = 0");
        workshop.write("recipe.toml", recipe.replace("batch_size = 4", "batch_size = 16"));
        workshop.succeed(&["run", "recipe.toml", "--restart"]);
        metrics(&workshop).iter().find_map(|line| line["loss"].as_f64()).unwrap()
    };
    workshop.write("other.jsonl", "{\"prompt\": \"Well?\", \"completion\": \" never, never\"}\n");
    let whole = first_loss("\"more.jsonl\"");
    // A weight that all share cancels, as its tokens count less too; one that some have does not.
    assert!((whole - first_loss("[{ path = \"more.jsonl\", weight = 0.5 }]")).abs() < 1e-6);
    let mixed = |weight: f64| first_loss(&format!("[\"more.jsonl\", {{ path = \"other.jsonl\", weight = {weight} }}]"));
    let (one, hundred) = (mixed(1.0), mixed(100.0));
    assert!((one - hundred).abs() > 1e-3 && (whole - one).abs() > 1e-6, "{whole} {one} {hundred}");
    let labelled = first_loss("[{ path = \"more.jsonl\", condition = \"GPT4: \" }]");
    assert!((whole - labelled).abs() > 1e-4, "{whole} {labelled}");
}

/// Samples are the policy's own, their log-probabilities the trainer's; the reward goes up, and a killed run goes on alike.
#[test]
fn a_group_stage_learns_from_checked_rewards() {
    let workshop = Workshop::new();
    let rows: String =
        (0..8).map(|i| json!({"prompt": format!("Say {i}: "), "completion": "e"}).to_string() + "\n").collect();
    workshop.write("pairs.jsonl", rows);
    for loss in ["grpo", "dr-grpo", "dapo", "gspo", "rloo", "reinforce"] {
        let lines =
            "reward = \"contains\"\nsamples = 16\nanswer_tokens = 24\nkl_coefficient = 0\nlora = { rank = 8 }\n";
        let recipe = recipe(loss, lines).replace("\"preference\"", "\"group\"").replace("epochs = 8", "epochs = 25");
        workshop.write("recipe.toml", recipe);
        let output = workshop.run(&["run", "recipe.toml", "--restart"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{loss}: {said}");
        assert!(said.contains("check: generator equals trainer: 0 of "), "{said}");
        let steps: Vec<Json> = metrics(&workshop).into_iter().filter(|line| line["reward"].is_number()).collect();
        let reward = |lines: &[Json]| {
            lines.iter().map(|line| line["reward"].as_f64().unwrap()).sum::<f64>() / lines.len() as f64
        };
        let (first, last) = (reward(&steps[..4]), reward(&steps[steps.len() - 4..]));
        assert!(last > first + 0.2, "{loss}: {first} -> {last}");
        // One step a sample: every ratio is exactly 1 and nothing is clipped.
        for line in &steps {
            assert_eq!(line["val/ratio"], 1.0, "{line}");
            assert_eq!(line["sampling/sampling_logp_difference/mean"], 0.0, "{line}");
        }
        if loss == "grpo" {
            let weights = std::fs::read(workshop.path("runs/tiny/adapter/adapter_model.safetensors")).unwrap();
            std::fs::remove_file(workshop.path("runs/tiny/finished.json")).unwrap();
            let last = format!("runs/tiny/checkpoints/step-{}", steps[steps.len() - 1]["step"]);
            std::fs::remove_dir_all(workshop.path(&last)).unwrap();
            let output = workshop.run(&["run", "recipe.toml"]);
            assert!(String::from_utf8_lossy(&output.stderr).contains("resuming after step 36"));
            assert!(std::fs::read(workshop.path("runs/tiny/adapter/adapter_model.safetensors")).unwrap() == weights);
        }
    }
}
