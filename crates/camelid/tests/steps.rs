//! Rewards of the steps of an answer, from a process reward model that is trained here too, as a user runs them.

mod support;

use serde_json::{Value as Json, json};
use support::Workshop;

/// What stands between two steps: a letter, since a model that has learned nothing says any byte as often as another.
const SEPARATOR: &str = "e";

/// With prompts, and a process reward model in `runs/judge` that nothing speaks for.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    let rows: String = (0..8).map(|i| json!({"prompt": format!("Say {i}: ")}).to_string() + "\n").collect();
    workshop.write("prompts.jsonl", rows);
    let steps: String = (0..12)
        .map(|i| {
            let labels = [true, i % 2 == 0, i % 4 == 0];
            let said: Vec<&str> = labels.iter().map(|right| if *right { "yes, fine" } else { "no, never" }).collect();
            json!({"prompt": format!("Say {i}: "), "completions": said, "labels": labels}).to_string() + "\n"
        })
        .collect();
    workshop.write("steps.jsonl", steps);
    judge(&workshop, "judge", "loss = \"process\"\n", "steps.jsonl");
    workshop
}

fn judge(workshop: &Workshop, name: &str, loss: &str, data: &str) {
    let recipe = format!(
        "name = \"{name}\"\nmodel = \"model\"\ncompute = \"f32\"\nthreads = 1\n\n[[stage]]\nkind = \"reward\"\n{loss}\
         data = \"{data}\"\nvalidation_share = 0.25\nmax_length = 96\nbatch_size = 3\nepochs = 4\nlearning_rate = 1e-2\n\
         tune = \"full\"\n"
    );
    workshop.write("judge.toml", recipe);
    workshop.succeed(&["run", "judge.toml"]);
}

fn recipe(kind: &str, lines: &str) -> String {
    format!(
        "name = \"tiny\"\nmodel = \"model\"\ncompute = \"f32\"\nthreads = 1\n\n[[stage]]\nkind = \"{kind}\"\n\
         data = \"prompts.jsonl\"\nmax_length = 96\nanswer_tokens = 32\n{lines}"
    )
}

const TUNING: &str =
    "validation_share = 0.25\nbatch_size = 3\nsamples = 6\nmax_steps = 2\nlearning_rate = 1e-2\nlora = { rank = 4 }\n";

fn reward(lines: &str) -> String {
    format!("reward = {{ steps = \"runs/judge\", separator = \"{SEPARATOR}\", force = true{lines} }}\n")
}

fn run(workshop: &Workshop, kind: &str, lines: &str) -> (String, Vec<Json>) {
    workshop.train(&recipe(kind, lines), "rewards/steps/mean")
}

/// What `camelid score` says of the solution up to each step decides what an answer is given.
#[test]
fn an_answer_is_given_what_the_scores_of_its_steps_make() {
    let workshop = workshop();
    let of_model = |odds: f64| 1.0 / (1.0 + (-odds).exp());
    for (aggregate, of_steps) in [
        ("min", (|p: &[f64]| p.iter().copied().fold(1.0, f64::min)) as fn(&[f64]) -> f64),
        ("product", |p| p.iter().product()),
        ("last", |p| p[p.len() - 1]),
        ("mean", |p| p.iter().sum::<f64>() / p.len() as f64),
    ] {
        let lines = format!("samples = 16\n{}", reward(&format!(", aggregate = \"{aggregate}\"")));
        workshop.write("recipe.toml", recipe("best-of-n", &lines));
        workshop.succeed(&["run", "recipe.toml", "--restart"]);
        let answers: Vec<Json> =
            workshop.read("runs/tiny/answers.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (mut prefixes, mut counts) = (String::new(), Vec::new());
        for answer in &answers {
            let text = answer["text"].as_str().unwrap();
            let steps: Vec<&str> = text.split(SEPARATOR).map(str::trim).filter(|step| !step.is_empty()).collect();
            for end in 1..=steps.len() {
                let prompt = format!("Say {}: ", answer["prompt"]);
                prefixes += &(json!({"prompt": prompt, "completion": steps[..end].join("\n")}).to_string() + "\n");
            }
            counts.push(steps.len());
        }
        assert!(counts.iter().filter(|&&count| count > 1).count() > 5, "too few steps to tell: {counts:?}");
        workshop.write("prefixes.jsonl", prefixes);
        let scored = workshop.succeed(&["score", "runs/judge", "prefixes.jsonl", "--compute", "f32"]);
        let mut odds =
            scored.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()["reward"].as_f64().unwrap());
        let mut different = 0;
        for (answer, count) in answers.iter().zip(counts) {
            let probabilities: Vec<f64> = odds.by_ref().take(count).map(of_model).collect();
            assert_eq!(probabilities.len(), count);
            let expected = if count == 0 { 0.0 } else { of_steps(&probabilities) };
            let given = answer["reward"].as_f64().unwrap();
            assert!((given - expected).abs() < 1e-5, "{aggregate}: {given} against {expected} of {answer}");
            different += usize::from((expected - probabilities.first().copied().unwrap_or(0.0)).abs() > 1e-4);
        }
        assert!(odds.next().is_none());
        assert!(different > 0, "{aggregate}: every answer is worth its first step, which tells nothing");
    }
}

/// Each step has its own reward where tokens are learned one by one.
#[test]
fn steps_are_rewarded_one_by_one() {
    let workshop = workshop();
    for (kind, more) in [("group", "loss = \"grpo\"\n"), ("ppo", "")] {
        let (said, steps) = run(&workshop, kind, &format!("{TUNING}{more}{}", reward(", per_step = true")));
        assert!(said.contains("warning: the reward model runs/judge is used although"), "{said}");
        assert!(said.contains("check: rewards of tokens: "), "{said}");
        assert!(!steps.is_empty());
        for step in steps.iter().filter(|step| step["loss"].is_number()) {
            let figure = |name: &str| step[name].as_f64().unwrap_or_else(|| panic!("{name}: {step}"));
            // Probabilities, one for each step.
            assert!(figure("rewards/steps/count") >= 1.0 && figure("rewards/steps/mean") > 0.0);
            assert!(figure("rewards/steps/mean") < figure("rewards/steps/count"));
            assert_eq!(figure("rewards/steps/mean"), figure("objective/scores"), "{kind}");
        }
    }
}

/// Rejection sampling: the answers whose worst step is best are learned.
#[test]
fn the_best_solutions_are_learned() {
    let workshop = workshop();
    let answers: String = (0..12)
        .map(|i| {
            let said = if i % 2 == 0 { "yes, fine" } else { "no, never" };
            json!({"prompt": format!("Say {i}: "), "completion": said, "label": i % 2 == 0}).to_string() + "\n"
        })
        .collect();
    workshop.write("outcomes.jsonl", answers);
    judge(&workshop, "outcome", "loss = \"outcome\"\n", "outcomes.jsonl");
    // A policy whose answers end: only those are chosen from.
    let talk: String = (0..12)
        .map(|i| json!({"prompt": format!("Say {i}: "), "completion": format!("yes{i}e no")}).to_string() + "\n")
        .collect();
    workshop.write("talk.jsonl", talk);
    let talker =
        recipe("sft", "validation_share = 0\nbatch_size = 6\nepochs = 30\nlearning_rate = 1e-2\ntune = \"full\"\n")
            .replace("prompts.jsonl", "talk.jsonl")
            .replace("answer_tokens = 32\n", "")
            .replace("\"tiny\"", "\"talker\"");
    workshop.write("talker.toml", talker);
    workshop.succeed(&["run", "talker.toml"]);
    let of_outcome = "reward = { model = \"runs/outcome\", force = true }\n".to_owned();
    for (name, reward) in [("steps", reward("")), ("model", of_outcome)] {
        let lines = format!("{TUNING}select = {{ by = \"best\", keep = 2 }}\n{reward}");
        let recipe = recipe("expert-iteration", &lines).replace("model = \"model\"\n", "model = \"runs/talker\"\n");
        workshop.write("recipe.toml", recipe);
        workshop.succeed(&["run", "recipe.toml", "--restart"]);
        let metrics = workshop.read("runs/tiny/metrics.jsonl");
        let steps: Vec<Json> = metrics
            .lines()
            .map(|line| serde_json::from_str::<Json>(line).unwrap())
            .filter(|line| line["reward"].is_number())
            .collect();
        assert_eq!(steps.len(), 2, "{metrics}");
        for step in &steps {
            let share = step["selected/share"].as_f64().unwrap();
            assert!(share > 0.0 && share <= 2.0 / 6.0 + 1e-9, "{step}");
            let mean = step[format!("rewards/{name}/mean")].as_f64().unwrap();
            assert!((step["reward"].as_f64().unwrap() - mean).abs() < 1e-9, "{step}");
            assert!(step["selected/reward"].as_f64().unwrap() > mean, "the chosen are above the mean: {step}");
            assert!(step["loss"].is_number(), "{step}");
        }
    }
}

/// A plan says everything that decides the reward, defaults too.
#[test]
fn the_plan_shows_how_steps_are_rewarded() {
    let workshop = workshop();
    let plan = |lines: &str| {
        workshop.write("recipe.toml", recipe("group", &format!("{TUNING}{lines}")));
        workshop.succeed(&["plan", "recipe.toml"])
    };
    let once = plan("reward = { steps = \"runs/judge\", force = true }\n");
    for line in
        ["paths = [\"runs/judge\"]", "separator = \"\"\"\n\n\"\"\"", "aggregate = \"min\"", "combine = \"mean\""]
    {
        assert!(once.contains(line), "{line} is not in {once}");
    }
    assert!(!plan(&reward(", per_step = true")).contains("aggregate"));
}

#[test]
fn what_cannot_judge_steps_is_refused() {
    let workshop = workshop();
    let pairs: String = (0..12)
        .map(|i| json!({"prompt": format!("Say {i}: "), "chosen": "yes", "rejected": "no"}).to_string() + "\n")
        .collect();
    workshop.write("pairs.jsonl", pairs);
    judge(&workshop, "pairs", "", "pairs.jsonl");
    let refused = |kind: &str, lines: &str, expected: &str| {
        workshop.write("recipe.toml", recipe(kind, &format!("{TUNING}{lines}")));
        let message = workshop.fail(&["run", "recipe.toml"]);
        assert!(message.contains(expected) && message.contains("\n  fix: "), "{expected} is not in {message}");
    };
    refused("group", "reward = { steps = \"runs/judge\" }\n", "runs/judge is not certified");
    refused("group", "reward = { steps = \"runs/pairs\", force = true }\n", "comparisons of whole answers");
    refused("expert-iteration", &reward(", per_step = true"), "takes an answer as a whole");
    refused("group", &format!("loss = \"rloo\"\n{}", reward(", per_step = true")), "loss = \"rloo\" takes");
    let both = reward(", per_step = true, aggregate = \"min\"");
    refused("group", &both, "`aggregate` is set but `per_step`");
    refused("group", "reward = { steps = \"runs/judge\", separator = \"\" }\n", "`separator` is empty");
    refused(
        "group",
        "reward = { steps = \"runs/judge\", aggregate = \"max\" }\n",
        "use one of min, product, last, mean",
    );
    refused("group", "reward = { steps = [] }\n", "`steps` names no reward model");
    refused("group", "reward = { pattern = \"a\", per_step = true }\n", "`per_step` is read with `steps` only");
    workshop.write("recipe.toml", recipe("best-of-n", &format!("samples = 4\n{}", reward(", per_step = true"))));
    assert!(workshop.fail(&["run", "recipe.toml"]).contains("choosing among answers takes an answer as a whole"));
}
