//! Figures of judgements by hand.

use camelid_judge::figures::{Match, compare, rank, rate};
use camelid_judge::people;
use camelid_records::{Assessment, Judgement, Verdict};

fn judgement(place: usize, group: &str, assessment: Assessment) -> Judgement {
    Judgement {
        key: format!("key-{place}"),
        id: format!("{place}"),
        group: group.into(),
        judge: "j".into(),
        lengths: [10, 20],
        assessment,
        rounds: Vec::new(),
    }
}

fn of(verdicts: &[(Verdict, Verdict)]) -> Vec<Judgement> {
    let one = |(place, (a, b)): (usize, &(Verdict, Verdict))| {
        judgement(place, &format!("{place}"), Assessment::of((*a).into(), (*b).into()))
    };
    verdicts.iter().enumerate().map(one).collect()
}

#[test]
fn undecided_judgements_are_counted_and_bound_the_rate() {
    use Verdict::{Failed, First, Second, Tie, Unparsed};
    let figures = compare(
        &of(&[(First, First), (First, Second), (Second, Second), (Unparsed, First), (Failed, Failed), (Tie, Tie)]),
        0,
    );
    assert_eq!((figures.wins, figures.ties, figures.losses, figures.undecided), (1, 2, 1, 2));
    // 1, ½, 0, ½ over four; over six with both lost, and both won.
    assert_eq!(figures.win_rate.unwrap().value, 0.5);
    let bounds = figures.bounds.unwrap();
    assert!((bounds.low - 2.0 / 6.0).abs() < 1e-12 && (bounds.high - 4.0 / 6.0).abs() < 1e-12);
    let positions = figures.positions;
    assert_eq!((positions.agreeing, positions.unparsed, positions.failed, positions.ties), (3, 1, 2, 2));
    assert_eq!(positions.parse_rate(), Some(9.0 / 12.0));
    assert_eq!(compare(&[], 0).win_rate, None);
}

/// Ten answers to each of four prompts are four observations.
#[test]
fn answers_to_one_prompt_are_one_cluster() {
    let judged: Vec<Judgement> = (0..40)
        .map(|place| {
            judgement(
                place,
                &format!("{}", place % 4),
                Assessment::same(if place % 4 < 2 { Verdict::First } else { Verdict::Second }),
            )
        })
        .collect();
    let figures = compare(&judged, 0);
    let mean = figures.win_rate.unwrap();
    assert_eq!((figures.groups, mean.degrees_of_freedom), (4, 3.0));
    // ½ with the deviation of four halves: √(1/3)/2.
    assert!((mean.standard_error - (1.0_f64 / 3.0).sqrt() / 2.0).abs() < 1e-12, "{mean:?}");
    assert!((figures.p_value.unwrap() - 1.0).abs() < 1e-12);
}

#[test]
fn a_ranking_orders_models_and_says_how_sure_it_is() {
    let matches: Vec<Match> = (0..300)
        .map(|place| {
            let (first, second) = [(0, 1), (1, 2), (0, 2)][place % 3];
            // The model of the lower number wins three of four.
            let verdict = if place / 3 % 4 == 3 { Verdict::Second } else { Verdict::First };
            Match { first, second, judgement: judgement(place, &format!("{}", place / 3), Assessment::same(verdict)) }
        })
        .collect();
    let ranking = rank(&matches, 3, 0);
    let order: Vec<usize> = ranking.placings.iter().map(|placing| placing.model).collect();
    assert_eq!((order, ranking.draws, ranking.undecided), (vec![0, 1, 2], 1000, 0));
    for placing in &ranking.placings {
        let interval = placing.interval.unwrap();
        assert!(interval.contains(placing.elo.unwrap()) && placing.matches == 200, "{placing:?}");
    }
    assert_eq!(ranking.placings[0].win_rate, Some(0.75));
    let mean = ranking.placings.iter().map(|placing| placing.elo.unwrap()).sum::<f64>() / 3.0;
    assert!((mean - 1000.0).abs() < 1e-6);
    // Who never loses has no strength, but a rate.
    let won: Vec<Match> =
        matches.iter().filter(|played| played.judgement.assessment.combined == Some(1.0)).cloned().collect();
    let unbeaten = rank(&won, 3, 0);
    assert_eq!((unbeaten.draws, unbeaten.placings[0].elo, unbeaten.placings[0].win_rate), (0, None, Some(1.0)));
}

#[test]
fn grades_without_a_number_bound_the_mean() {
    let graded = |place: usize, grade: f64| {
        judgement(
            place,
            &format!("{place}"),
            Assessment { ratings: Some([grade; 2]), ..Assessment::same(Verdict::Tie) },
        )
    };
    let judged = [
        graded(0, 4.0),
        graded(1, 8.0),
        judgement(2, "2", Assessment::same(Verdict::Unparsed)),
        judgement(3, "3", Assessment::same(Verdict::Failed)),
    ];
    let rates = rate(&judged, [0.0, 9.0]);
    assert_eq!((rates.mean.unwrap().value, rates.graded, rates.unparsed, rates.failed), (6.0, 2, 1, 1));
    let bounds = rates.bounds.unwrap();
    assert_eq!((bounds.low, bounds.high), (3.0, 7.5));
}

#[test]
fn people_get_what_is_open_and_what_is_doubtful() {
    let doubt = |place: usize, entropy: f64| {
        judgement(place, "g", Assessment { entropy: Some(entropy), ..Assessment::same(Verdict::First) })
    };
    let judged =
        [doubt(0, 0.0), doubt(1, 1.09), judgement(2, "g", Assessment::same(Verdict::Unparsed)), doubt(3, 0.45)];
    assert_eq!(people::queue(&judged, 0.5), [2, 1]);
    assert_eq!(people::queue(&judged, 0.0), [2]);
    let mut decided = judged.to_vec();
    let decisions = [("key-1".to_owned(), Verdict::Second), ("key-9".to_owned(), Verdict::First)].into();
    assert_eq!(people::decide(&mut decided, &decisions), 1);
    assert_eq!((decided[1].assessment.combined, decided[1].assessment.as_given.verdict), (Some(0.0), Verdict::First));
}

#[test]
fn a_filled_in_file_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.jsonl");
    let case = camelid_judge::Case::single("0", "Say it.", ["yes".into(), "no".into()]);
    let line = people::ForPerson::new(&case, &judgement(0, "g", Assessment::same(Verdict::Unparsed)));
    let write = |verdict: &str| {
        let row = serde_json::to_string(&line).unwrap().replace("\"verdict\":null", &format!("\"verdict\":{verdict}"));
        std::fs::write(&path, row + "\n").unwrap();
        people::read_decisions(&path)
    };
    assert_eq!(write("null").unwrap().len(), 0);
    assert_eq!(write("\"tie\"").unwrap().get("key-0"), Some(&Verdict::Tie));
    for wrong in ["\"failed\"", "\"A\"", "3"] {
        let message = write(wrong).unwrap_err().to_string();
        assert!(
            message.contains("people.jsonl, line 1: ") && message.contains("\n  fix: fill in `verdict`"),
            "{message}"
        );
    }
}
