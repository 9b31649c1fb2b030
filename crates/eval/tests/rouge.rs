//! ROUGE-L against `rouge-score`, recorded by `tools/golden_rouge.py`.

use camelid_eval::overlap::rouge_l::{Words, rouge_l};

#[test]
fn every_pair() {
    let cases: Vec<(String, String, f64, f64, f64)> = serde_json::from_str(include_str!("golden/rouge.json")).unwrap();
    assert_eq!(cases.len(), 121);
    for (candidate, reference, precision, recall, f1) in cases {
        let ours = rouge_l(&Words::of(&candidate), &Words::of(&reference));
        for (ours, theirs) in [(ours.precision, precision), (ours.recall, recall), (ours.f1, f1)] {
            assert!((ours - theirs).abs() < 1e-12, "{candidate:?}, {reference:?}: {ours}, recorded {theirs}");
        }
    }
}
