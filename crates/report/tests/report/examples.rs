//! Small figures of each kind.

use camelid_report::{Axis, Bar, Figure, Marks, Point, Scale, Series, Stroke, Whiskers};

fn figure(title: &str, x: &str, y: &str, marks: Marks) -> Figure {
    Figure {
        title: title.into(),
        caption: format!("{title}, as an example."),
        x: Axis::linear(x),
        y: Axis::linear(y),
        marks,
    }
}

/// Two curves, one of them of what is not measured.
pub(crate) fn curves() -> Figure {
    let loss = |step: i32| 0.7 + 2.0 * f64::from(step + 1).powf(-0.5);
    let train =
        Series::of_values("loss", (0..40).map(|step| (f64::from(step), loss(step) + 0.04 * f64::from(step).sin())));
    let law = Series::of_values("law", (0..40).map(|step| (f64::from(step), loss(step)))).with_stroke(Stroke::Dashed);
    figure("Loss", "step", "nats per token", Marks::Series(vec![train, law]))
}

/// A mean over three runs with a band, on logarithmic axes.
pub(crate) fn seeds() -> Figure {
    let run = |seed: i32| {
        (0..12).map(move |n| (2_f64.powi(n), 0.1 * 1.6_f64.powi(n) * (1.0 + 0.1 * f64::from(seed * n % 5))))
    };
    let runs: Vec<Vec<(f64, f64)>> = (0..3).map(|seed| run(seed).collect()).collect();
    let mean = |n: usize| runs.iter().map(|run| run[n].1).sum::<f64>() / 3.0;
    let points = (0..12).map(|n| Point::new(runs[0][n].0, mean(n)).within(mean(n) * 0.8, mean(n) * 1.2)).collect();
    let series = Series::new("mean of three seeds", points).with_runs(runs);
    let mut figure = figure("Samples", "n", "reward", Marks::Series(vec![series]));
    figure.x.scale = Scale::Logarithmic;
    figure.y.scale = Scale::Logarithmic;
    figure
}

/// Labelled points with bars.
pub(crate) fn frontier() -> Figure {
    let points = |gain: f64| {
        let point = |(step, kl): (usize, f64)| {
            let reward = gain * kl.sqrt();
            Point::new(kl, reward).within(reward - 0.08, reward + 0.08).labelled(format!("{}", 10 * (step + 1)))
        };
        [0.5, 2.0, 4.0, 8.0].into_iter().enumerate().map(point).collect()
    };
    let series =
        |name: &str, gain| Series::new(name, points(gain)).with_stroke(Stroke::Marked).with_whiskers(Whiskers::Bars);
    let all = vec![series("dpo", 0.4), series("ppo", 0.3), series("preferred", 0.2)];
    figure("Reward against KL", "KL to the initial policy (nats)", "gold reward", Marks::Series(all))
}

pub(crate) fn bars() -> Figure {
    let bar = |(label, value, half): (&str, f64, f64)| Bar {
        label: label.into(),
        value,
        interval: (half > 0.0).then_some((value - half, value + half)),
    };
    let bars = [("dpo", 0.82, 0.05), ("ipo", 0.74, 0.1), ("kto", 0.6, 0.0)].into_iter().map(bar).collect();
    figure("Reward accuracy", "loss", "accuracy", Marks::Bars(bars))
}

pub(crate) fn histogram() -> Figure {
    let values =
        |shift: f64| (0..200).map(|i| shift + (f64::from(i) * 0.7).sin() + (f64::from(i) * 1.3).sin()).collect();
    let sets = vec![("chosen".to_owned(), values(0.8)), ("rejected".to_owned(), values(0.0))];
    figure("Rewards", "reward", "answers", Marks::Histogram { sets, bins: 12 })
}
