//! Does each preference method raise a reward that it never sees, on prompts that it never saw?
//!
//! ```console
//! $ cargo run --release -p camelid-train --example learning            # prints the table of BENCHMARKS.md
//! ```
//!
//! A small transformer is trained from nothing on texts of letters (see [`task`]), so that it knows the language and
//! nothing else: the SFT policy. It answers training prompts four times each; a programme scores the answers. Every
//! method gets the same answers, as often, in the same number of steps, and the same four learning rates to choose from; the
//! rate is chosen on other prompts, by the mean over two seeds of their own. What counts is the programme's score of answers to
//! held-out prompts, sampled at temperature 1, over five seeds.

mod methods;
mod policy;
mod task;

use std::sync::Mutex;

use camelid_model::Tuning;
use methods::{Entry, METHODS};
use policy::{Policy, Quality};

const RATES: [f64; 4] = [3e-4, 1e-3, 3e-3, 1e-2];
const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];
/// Rates are chosen under seeds of their own: one alone picks whichever rate was lucky.
const RATE_SEEDS: [u64; 2] = [100, 101];
/// Of Student's distribution with four degrees of freedom, for 95 %.
const T_OF_FIVE: f64 = 2.776;

fn main() {
    let started = |seeds: &[u64]| -> Vec<Policy> { on_all_cores(seeds, |&seed| Policy::from_nothing(seed)) };
    let choosing = started(&RATE_SEEDS);
    let choices: Vec<(usize, f64)> =
        (0..METHODS.len()).flat_map(|method| RATES.into_iter().map(move |rate| (method, rate))).collect();
    let scores = on_all_cores(&choices, |&(method, rate)| {
        let scored = |policy: &Policy| policy.tuned(&METHODS[method], rate).quality(task::Split::Validation).reward;
        let mean = choosing.iter().map(scored).sum::<f64>() / choosing.len() as f64;
        eprintln!("{}, rate {rate:e}: reward {mean:.3}", METHODS[method].name);
        mean
    });
    let best_rate = |method: usize| {
        let of_method = choices.iter().zip(&scores).filter(|((of, _), _)| *of == method);
        of_method.max_by(|a, b| a.1.total_cmp(b.1)).map_or(RATES[0], |((_, rate), _)| *rate)
    };
    let rates: Vec<f64> = (0..METHODS.len()).map(best_rate).collect();
    let judged = started(&SEEDS);
    let jobs: Vec<(usize, usize)> =
        (0..METHODS.len()).flat_map(|method| (0..SEEDS.len()).map(move |seed| (method, seed))).collect();
    let qualities: Vec<Quality> = on_all_cores(&jobs, |&(method, seed)| {
        let quality = judged[seed].tuned(&METHODS[method], rates[method]).quality(task::Split::Test);
        eprintln!(
            "{}, rate {:e}, seed {}: reward {:.3}",
            METHODS[method].name, rates[method], SEEDS[seed], quality.reward
        );
        quality
    });
    let base: Vec<Quality> = judged.iter().map(|policy| policy.clone_frozen().quality(task::Split::Test)).collect();
    print_table(&rates, &qualities, &base);
}

/// Mean and half the width of its 95 % interval over seeds.
fn interval(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, T_OF_FIVE * (variance / count).sqrt())
}

fn print_table(rates: &[f64], qualities: &[Quality], base: &[Quality]) {
    let seeds = SEEDS.len();
    let column = |part: &[Quality], of: fn(&Quality) -> f64| interval(&part.iter().map(of).collect::<Vec<_>>());
    let (reward, width) = column(base, |q| q.reward);
    println!("SFT policy: gold reward {reward:.3} ± {width:.3}, length {:.1}\n", column(base, |q| q.length).0);
    println!("| method | learning rate | gold reward | gain over SFT | KL (nats) | length | verdict |");
    println!("|---|---|---|---|---|---|---|");
    let mut rows: Vec<(f64, String)> = METHODS
        .iter()
        .zip(rates)
        .enumerate()
        .map(|(method, (Entry { name, .. }, rate))| {
            let part = &qualities[method * seeds..(method + 1) * seeds];
            let (reward, width) = column(part, |q| q.reward);
            // Paired: the same seed has the same SFT policy, prompts and answers.
            let gains: Vec<f64> = part.iter().zip(base).map(|(after, before)| after.reward - before.reward).collect();
            let (gain, gain_width) = interval(&gains);
            let verdict = if gain > gain_width {
                "raises it"
            } else if gain < -gain_width {
                "lowers it"
            } else {
                "not shown"
            };
            let (kl, length) = (column(part, |q| q.divergence).0, column(part, |q| q.length).0);
            let row = format!(
                "| {name} | {rate:e} | {reward:.3} ± {width:.3} | {gain:+.3} ± {gain_width:.3} | {kl:.1} | {length:.1} | {verdict} |"
            );
            (reward, row)
        })
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, row) in &rows {
        println!("{row}");
    }
}

/// Runs jobs on one thread a core, in any order; results are in the order of the jobs.
fn on_all_cores<J: Sync, R: Send>(jobs: &[J], run: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = Mutex::new(0_usize);
    let results: Mutex<Vec<Option<R>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = {
                        let mut next = next.lock().expect("no thread panics while it counts");
                        *next += 1;
                        *next - 1
                    };
                    let Some(job) = jobs.get(index) else { break };
                    let result = run(job);
                    results.lock().expect("no thread panics while it stores")[index] = Some(result);
                }
            });
        }
    });
    let results = results.into_inner().expect("all threads have ended");
    results.into_iter().map(|result| result.expect("every job has run")).collect()
}

/// What preference tuning trains: an adapter, so that its reference is the policy without it.
fn adapter() -> Tuning {
    let targets = vec!["all-linear".into()];
    Tuning::LowRank(camelid_model::LowRank { rank: 16, alpha: 32.0, rslora: false, dropout: 0.0, targets })
}
