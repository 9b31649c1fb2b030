//! Figures as they are drawn: snapshots of small ones, and what holds of all.

use crate::examples;
use camelid_report::{Axis, Bar, Cell, Figure, Marks, Point, Series, Stroke};
use proptest::prelude::*;

#[test]
fn a_curve_with_an_interval() {
    let points = vec![Point::new(0.0, 1.0).within(0.5, 1.5), Point::new(1.0, 2.0).within(1.5, 2.5)];
    insta::assert_snapshot!(of(Marks::Series(vec![Series::new("a <b>", points)])).svg("f"));
}

#[test]
fn bars_with_an_interval() {
    let bars = vec![Bar { label: "x & y".into(), value: 2.0, interval: Some((1.0, 2.5)) }];
    insta::assert_snapshot!(of(Marks::Bars(bars)).svg("f"));
}

#[test]
fn the_table_has_what_the_drawing_has() {
    let histogram = examples::histogram().table();
    assert_eq!(histogram.columns, ["reward", "chosen", "rejected"]);
    let total: f64 = histogram.rows.iter().map(|row| if let Cell::Number(count) = row[1] { count } else { 0.0 }).sum();
    assert_eq!(total, 200.0);
    let seeds = examples::seeds().table();
    assert_eq!(seeds.rows.len(), 12 + 3 * 12);
    assert_eq!(examples::frontier().table().columns.len(), 4);
}

#[test]
fn what_has_no_place_is_left_out_and_nothing_is_said_to_be_nothing() {
    for marks in [
        Marks::Series(vec![]),
        Marks::Series(vec![Series::new("none", vec![])]),
        Marks::Series(vec![Series::of_values("lost", [(1.0, f64::NAN), (f64::INFINITY, 1.0)])]),
        Marks::Bars(vec![]),
        Marks::Histogram { sets: vec![("none".into(), vec![f64::NAN])], bins: 3 },
    ] {
        assert!(of(marks).svg("f").contains("nothing to draw"));
    }
    let mut figure = of(Marks::Series(vec![Series::of_values("rates", [(0.0, 1.0), (1.0, 10.0), (2.0, 0.0)])]));
    figure.y = Axis::logarithmic("rate");
    assert!(!figure.svg("f").contains("NaN"));
    assert_eq!(figure.table().rows.len(), 3);
}

#[test]
fn a_figure_is_drawn_the_same_each_time_and_shares_no_name_with_another() {
    let figure = examples::curves();
    assert_eq!(figure.svg("one"), figure.svg("one"));
    let (one, two) = (figure.svg("one"), figure.svg("two"));
    assert!(one.contains("url(#one-clip-0)") && one.contains("id=\"one-clip-0\""), "{one}");
    assert!(!two.contains("one-clip") && !two.contains("kuva-clip"), "{two}");
}

fn of(marks: Marks) -> Figure {
    Figure { title: "T".into(), caption: "C".into(), x: Axis::linear("x"), y: Axis::linear("y"), marks }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any values can be drawn: nothing panics, and no coordinate is not a number.
    #[test]
    fn every_figure_can_be_drawn(
        values in prop::collection::vec((prop::num::f64::ANY, prop::num::f64::ANY, prop::num::f64::ANY), 0..6),
        log in any::<bool>(),
        stroke in prop::sample::select(vec![Stroke::Solid, Stroke::Dashed, Stroke::Marked, Stroke::Points]),
    ) {
        let points: Vec<Point> = values.iter().map(|&(x, y, end)| Point::new(x, y).within(y, end)).collect();
        let runs = vec![values.iter().map(|&(x, y, _)| (x, y)).collect()];
        let bars = values.iter().map(|&(_, y, end)| Bar { label: "b".into(), value: y, interval: Some((end, y)) }).collect();
        let sets = vec![("s".to_owned(), values.iter().map(|value| value.0).collect())];
        for marks in [
            Marks::Series(vec![Series::new("s", points).with_runs(runs).with_stroke(stroke)]),
            Marks::Bars(bars),
            Marks::Histogram { sets, bins: 5 },
        ] {
            let mut figure = of(marks);
            if log {
                figure.x = Axis::logarithmic("x");
                figure.y = Axis::logarithmic("y");
            }
            let svg = figure.svg("f");
            prop_assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{}", svg);
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", svg);
        }
    }
}
