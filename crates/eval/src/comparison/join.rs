use std::collections::HashMap;

use crate::results::Item;

use super::PairedScores;

/// An item that both sides have a score for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair<'i> {
    pub before: &'i Item,
    pub after: &'i Item,
}

/// The items of two sides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Joined<'i> {
    /// In the order of the first side.
    pub pairs: Vec<Pair<'i>>,
    pub only_before: usize,
    pub only_after: usize,
    /// On both sides, but one of them has no score, as the engine failed there.
    pub unscored: usize,
    /// On both sides under the same name, but another answer is expected: these are different items.
    pub changed: usize,
}

/// Joins by the items' names, which are unique on each side.
pub fn join<'i>(before: &'i [Item], after: &'i [Item]) -> Joined<'i> {
    let by_name: HashMap<&str, &Item> = after.iter().map(|item| (item.item.as_str(), item)).collect();
    let mut joined = Joined::default();
    let mut shared = 0;
    for before in before {
        let Some(&after) = by_name.get(before.item.as_str()) else {
            joined.only_before += 1;
            continue;
        };
        shared += 1;
        if before.reference != after.reference {
            joined.changed += 1;
        } else if before.score.is_none() || after.score.is_none() {
            joined.unscored += 1;
        } else {
            joined.pairs.push(Pair { before, after });
        }
    }
    joined.only_after = after.len() - shared;
    joined
}

impl Joined<'_> {
    /// The scores of the pairs. Items without a cluster stand alone.
    pub fn scores(&self) -> PairedScores {
        let mut groups: HashMap<&str, usize> = HashMap::new();
        let mut scores = PairedScores::default();
        for (index, Pair { before, after }) in self.pairs.iter().enumerate() {
            let (Some(first), Some(second)) = (before.score, after.score) else { continue };
            let cluster = before.cluster.as_deref().map_or(index, |name| *groups.entry(name).or_insert(index));
            scores.before.push(first);
            scores.after.push(second);
            scores.clusters.push(cluster);
        }
        scores
    }

    /// The share of items on both sides that can be compared.
    pub fn comparable(&self) -> Option<f64> {
        let shared = self.pairs.len() + self.unscored + self.changed;
        (shared > 0).then(|| self.pairs.len() as f64 / shared as f64)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::results::Status;

    pub(crate) fn item(name: &str, cluster: Option<&str>, score: Option<f64>) -> Item {
        Item {
            task: "t".into(),
            item: name.into(),
            cluster: cluster.map(str::to_owned),
            prompt: String::new(),
            answer: String::new(),
            reference: json!("r"),
            extracted: Value::Null,
            rung: None,
            score,
            status: Status::Ok,
            details: Value::Null,
        }
    }

    #[test]
    fn only_what_both_scored_is_compared() {
        let before = [
            item("a", Some("x"), Some(1.0)),
            item("b", None, Some(0.0)),
            item("c", None, None),
            item("d", None, Some(1.0)),
        ];
        let mut after = [
            item("d", None, Some(0.0)),
            item("c", None, Some(1.0)),
            item("a", Some("x"), Some(0.5)),
            item("e", None, Some(1.0)),
        ];
        after[0].reference = json!("other");
        let joined = join(&before, &after);
        let names: Vec<&str> = joined.pairs.iter().map(|pair| pair.before.item.as_str()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!((joined.only_before, joined.only_after, joined.unscored, joined.changed), (1, 1, 1, 1));
        assert_eq!(joined.comparable(), Some(1.0 / 3.0));
        let scores = joined.scores();
        assert_eq!((scores.before, scores.after), (vec![1.0], vec![0.5]));
        assert_eq!(join(&[], &after).only_after, 4);
    }

    #[test]
    fn items_without_a_cluster_stand_alone() {
        let side = [
            item("a", None, Some(1.0)),
            item("b", Some("x"), Some(1.0)),
            item("c", None, Some(1.0)),
            item("d", Some("x"), Some(1.0)),
        ];
        assert_eq!(join(&side, &side).scores().clusters, [0, 1, 2, 1]);
    }
}
