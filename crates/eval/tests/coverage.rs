//! O14: intervals cover, and tests err, as often as they say, in evaluations whose truth is known.

use camelid_eval::statistics::bootstrap::Replicates;
use camelid_eval::statistics::clustered::clustered_mean;
use camelid_eval::statistics::mean::{Mean, unpaired_difference};
use camelid_eval::statistics::non_inferiority::{Verdict, of_answers};
use camelid_eval::statistics::paired::{McNemar, paired_difference};
use camelid_eval::statistics::paired_proportion::{Clustering, Pairs};
use camelid_eval::statistics::power::{Design, paired_binary_variance};
use camelid_eval::statistics::proportion::wilson;
use camelid_eval::stream;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

const EVALUATIONS: usize = 2000;

fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

fn answer(random: &mut ChaCha8Rng, chance: f64) -> f64 {
    f64::from(u8::from(uniform(random) < chance))
}

/// The share of simulated evaluations in which `covers` holds.
fn coverage(label: &str, mut covers: impl FnMut(&mut ChaCha8Rng) -> bool) -> f64 {
    let mut random = stream(14, label);
    (0..EVALUATIONS).filter(|_| covers(&mut random)).count() as f64 / EVALUATIONS as f64
}

/// Two systems on 200 items of very different difficulty; the first is right more often by 0.04 on each.
fn two_systems(random: &mut ChaCha8Rng) -> (Vec<f64>, Vec<f64>) {
    let items = (0..200).map(|item| {
        let difficulty = 0.02 + 0.92 * f64::from(item % 20) / 19.0;
        // What both share of the luck on an item, too.
        let luck = uniform(random);
        let second = if uniform(random) < 0.5 { luck } else { uniform(random) };
        (f64::from(u8::from(luck < difficulty + 0.04)), f64::from(u8::from(second < difficulty)))
    });
    items.unzip()
}

#[test]
fn paired_intervals_cover() {
    let share = coverage("paired", |random| {
        let (first, second) = two_systems(random);
        paired_difference(&first, &second).unwrap().interval(0.95).unwrap().contains(0.04)
    });
    assert!((0.935..=0.965).contains(&share), "{share}");
}

#[test]
fn unpaired_intervals_cover_too_much() {
    let share = coverage("unpaired", |random| {
        let (first, second) = two_systems(random);
        let difference = unpaired_difference(&Mean::of(&first).unwrap(), &Mean::of(&second).unwrap()).unwrap();
        difference.interval(0.95).unwrap().contains(0.04)
    });
    assert!(share > 0.985, "{share}");
}

#[test]
fn wilson_covers() {
    let share = coverage("wilson", |random| {
        let right = (0..60).map(|_| answer(random, 0.9)).sum();
        wilson(right, 60, 0.95).unwrap().contains(0.9)
    });
    assert!((0.93..=0.975).contains(&share), "{share}");
}

/// 40 passages with 5 questions each, answered alike.
fn passages(random: &mut ChaCha8Rng) -> (Vec<f64>, Vec<usize>) {
    let mut values = Vec::new();
    for _ in 0..40 {
        let chance = 0.1 + 0.8 * answer(random, 0.5);
        values.extend((0..5).map(|_| answer(random, chance)));
    }
    (values, (0..200).map(|item| item / 5).collect())
}

#[test]
fn clustered_intervals_cover_where_plain_ones_do_not() {
    let clustered = coverage("clusters", |random| {
        let (values, clusters) = passages(random);
        clustered_mean(&values, &clusters).unwrap().interval(0.95).unwrap().contains(0.5)
    });
    assert!((0.935..=0.965).contains(&clustered), "{clustered}");
    let plain =
        coverage("clusters", |random| Mean::of(&passages(random).0).unwrap().interval(0.95).unwrap().contains(0.5));
    assert!(plain < 0.8, "{plain}");
}

/// The deviation of the replicates is the error; divided by √B, as one harness does, it covers almost nothing.
#[test]
fn bootstrap_intervals_cover_and_its_error_is_not_divided() {
    const RESAMPLES: usize = 300;
    let mut divided = 0;
    let share = coverage("bootstrap", |random| {
        let values: Vec<f64> = (0..60).map(|_| uniform(random).powi(2)).collect();
        let figure = |items: &[usize]| items.iter().map(|&item| values[item]).sum::<f64>() / items.len() as f64;
        let drawn = Replicates::draw(values.len(), RESAMPLES, random, figure);
        let mean = Mean::of(&values).unwrap().value;
        let error = drawn.standard_error().unwrap() / (RESAMPLES as f64).sqrt();
        divided += usize::from((mean - 1.0 / 3.0).abs() < 1.96 * error);
        drawn.interval(0.95).unwrap().contains(1.0 / 3.0)
    });
    assert!((0.92..=0.965).contains(&share), "{share}");
    let divided = divided as f64 / EVALUATIONS as f64;
    assert!(divided < 0.15, "{divided}");
}

#[test]
fn cluster_bootstrap_covers() {
    let share = coverage("cluster bootstrap", |random| {
        let (values, clusters) = passages(random);
        let figure = |items: &[usize]| items.iter().map(|&item| values[item]).sum::<f64>() / items.len() as f64;
        Replicates::draw_clusters(&clusters, 200, random, figure).interval(0.95).unwrap().contains(0.5)
    });
    assert!((0.915..=0.965).contains(&share), "{share}");
}

/// Items that only one of two systems gets right, of `count`.
fn pairs(random: &mut ChaCha8Rng, count: usize, [first, second]: [f64; 2]) -> McNemar {
    let mut pairs = McNemar { only_first: 0, only_second: 0 };
    for _ in 0..count {
        let place = uniform(random);
        pairs.only_first += u64::from(place < first);
        pairs.only_second += u64::from(place > 1.0 - second);
    }
    pairs
}

#[test]
fn mcnemar_errs_as_often_as_it_says() {
    let exact = coverage("no difference", |random| pairs(random, 200, [0.08, 0.08]).exact() < 0.05);
    let mid_p = coverage("no difference", |random| pairs(random, 200, [0.08, 0.08]).mid_p() < 0.05);
    assert!(exact < mid_p && exact < 0.045, "{exact} {mid_p}");
    assert!((0.035..=0.058).contains(&mid_p), "{mid_p}");
}

#[test]
fn the_needed_items_find_what_they_are_for() {
    let shares = [0.10, 0.05];
    let design = Design::default();
    let count = design.needed_count(paired_binary_variance(shares[0], shares[1]), 0.05).unwrap();
    let power = coverage("power", |random| pairs(random, count, shares).mid_p() < design.alpha);
    assert!((0.77..=0.84).contains(&power), "{count} items: {power}");
    let half = coverage("power", |random| pairs(random, count / 2, shares).mid_p() < design.alpha);
    assert!(half < 0.6, "{half}");
}

/// The base model is right on 60 % of 1,000 items, the tuned one on `loss` less; they agree as far as related models
/// do.
fn gate(random: &mut ChaCha8Rng, loss: f64) -> Verdict {
    let (mut only_tuned, mut only_base) = (0, 0);
    for _ in 0..1000 {
        let place = uniform(random);
        only_base += u64::from(place < 0.06 + loss);
        only_tuned += u64::from(place > 0.94);
    }
    let pairs = Pairs::of(only_tuned, only_base, 1000).unwrap();
    of_answers(pairs, 0.03, 0.05, Clustering::NONE).unwrap().verdict
}

#[test]
fn gates_pass_what_was_kept_and_not_what_was_lost() {
    let kept = |loss: f64| coverage("gate", |random| gate(random, loss) == Verdict::Kept);
    let at_the_margin = kept(0.03);
    assert!(at_the_margin < 0.06, "{at_the_margin}");
    assert!(kept(0.05) < 0.001);
    // 0.03/√(0.12/1000) - z_{0.95} = 1.09: about 0.86.
    assert!(kept(0.0) > 0.82, "{}", kept(0.0));
    let lost = coverage("gate", |random| gate(random, 0.1) == Verdict::Lost);
    assert!(lost > 0.99, "{lost}");
    let false_alarms = coverage("gate", |random| gate(random, 0.0) == Verdict::Lost);
    assert!(false_alarms < 0.001, "{false_alarms}");
}
