//! What choosing the best of n does to both rewards, and what it costs: from one set of answers for every n.

use std::fmt::Write as _;

use camelid_eval::over_optimisation::{Distance, best_of_n};
use camelid_train::{DISTANCES, METRICS, RunDirectory};
use serde_json::{Value as Json, json};

use super::answers::Answer;

/// Writes a line for each n: by prompt, and as means under the names that the monitor of a tuning stage uses, so that both can be
/// drawn in one figure.
pub(crate) fn write(directory: &RunDirectory, groups: &[Vec<Answer>]) -> anyhow::Result<()> {
    let sizes = sizes(groups.iter().map(Vec::len).min().unwrap_or(0));
    let distances = best_of_n(&rewards(groups), &sizes);
    // How long what is chosen is follows from the same estimate as what it is worth.
    let lengths = best_of_n(&lengths(groups), &sizes);
    let (mut by_prompts, mut measured) = (String::new(), String::new());
    for (distance, lengths) in distances.iter().zip(&lengths) {
        writeln!(by_prompts, "{}", by_prompt(distance))?;
        writeln!(measured, "{}", means(distance, &lengths.gold))?;
    }
    directory.write(DISTANCES, &by_prompts)?;
    directory.write(METRICS, &measured)?;
    Ok(())
}

/// (training reward, held-out reward) of each answer to each prompt.
fn rewards(groups: &[Vec<Answer>]) -> Vec<(Vec<f64>, Vec<f64>)> {
    let of = |group: &Vec<Answer>| {
        let proxy = group.iter().map(|answer| answer.reward).collect();
        (proxy, group.iter().filter_map(|answer| answer.gold).collect())
    };
    groups.iter().map(of).collect()
}

/// (training reward, tokens) of each answer to each prompt.
fn lengths(groups: &[Vec<Answer>]) -> Vec<(Vec<f64>, Vec<f64>)> {
    let of = |group: &Vec<Answer>| group.iter().map(|answer| (answer.reward, answer.tokens.len() as f64)).unzip();
    groups.iter().map(of).collect()
}

/// 1, 2, 3, 4, 6, 8, 12, ... and `samples` itself.
fn sizes(samples: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1_usize), |n| n.checked_mul(2)).take_while(|&n| n <= samples);
    let mut sizes: Vec<usize> =
        powers.flat_map(|n| [Some(n), (n > 1).then(|| n + n / 2)]).flatten().filter(|&n| n <= samples).collect();
    sizes.push(samples);
    sizes.dedup();
    sizes
}

fn by_prompt(distance: &Distance) -> Json {
    json!({ "n": distance.at, "kl": distance.kl, "proxy": distance.proxy, "gold": distance.gold })
}

fn means(distance: &Distance, lengths: &[f64]) -> Json {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let kl = mean(&distance.kl);
    let mut line = json!({
        "n": distance.at, "monitor/kl": kl, "monitor/sqrt_kl": kl.sqrt(), "monitor/proxy": mean(&distance.proxy),
        "monitor/answer_tokens": mean(lengths),
    });
    // What is chosen by is what counts where nothing else is known.
    line["monitor/reward"] = json!(mean(if distance.gold.is_empty() { &distance.proxy } else { &distance.gold }));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(reward: f64, gold: Option<f64>) -> Answer {
        let (asked, text, tokens) = ("p".to_owned(), String::new(), vec![1; reward as usize]);
        Answer { prompt: 0, asked, sample: 0, text, ended: true, tokens, log_prob: -1.0, reward, gold }
    }

    #[test]
    fn every_n_has_its_line() {
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(8), [1, 2, 3, 4, 6, 8]);
        assert_eq!(sizes(10), [1, 2, 3, 4, 6, 8, 10]);
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::open(folder.path()).unwrap();
        let groups = [[(1.0, 5.0), (2.0, 3.0)], [(0.0, 1.0), (4.0, 2.0)]];
        let groups = groups.map(|group| group.map(|(reward, gold)| answer(reward, Some(gold))).to_vec());
        write(&directory, &groups).unwrap();
        let lines = |name: &str| crate::report::read_lines(&folder.path().join(name));
        let (distances, metrics) = (lines(DISTANCES), lines(METRICS));
        assert_eq!((distances.len(), metrics.len()), (2, 2));
        assert_eq!(distances[1]["gold"], json!([3.0, 2.0]));
        // One sample of each prompt, then the better of two: 2 and 4 by proxy, which are 3 and 2 by gold.
        assert_eq!((&metrics[0]["monitor/reward"], &metrics[0]["monitor/kl"]), (&json!(2.75), &json!(0.0)));
        assert_eq!((&metrics[1]["monitor/proxy"], &metrics[1]["monitor/reward"]), (&json!(3.0), &json!(2.5)));
        // Answers are as long as their training reward here.
        assert_eq!(metrics[1]["monitor/answer_tokens"], metrics[1]["monitor/proxy"]);
        let nats = metrics[1]["monitor/kl"].as_f64().unwrap();
        assert!((nats - (2.0_f64.ln() - 0.5)).abs() < 1e-12);
    }

    #[test]
    fn without_a_held_out_reward_the_training_reward_is_what_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::open(folder.path()).unwrap();
        write(&directory, &[vec![answer(1.0, None), answer(2.0, None)]]).unwrap();
        let metrics = crate::report::read_lines(&folder.path().join(METRICS));
        assert_eq!(metrics[1]["monitor/reward"], json!(2.0));
    }
}
