//! Records into micro-batches under a token budget.

/// Batches that may be open at the same time: how far a record can move from its place in the order.
const OPEN_BATCHES: usize = 16;

/// Splits records into batches of at most `token_budget` tokens; returns the indices of each batch's records.
///
/// First fit over a window of open batches, so that the order, and with it a shuffle, keeps its meaning: batches come
/// out in the order of their first records, and records ascend within a batch. A record longer than the budget gets a
/// batch of its own. The same lengths always give the same batches.
pub fn pack(lengths: &[usize], token_budget: usize) -> Vec<Vec<usize>> {
    struct Open {
        room: usize,
        records: Vec<usize>,
    }
    let mut open: std::collections::VecDeque<Open> = std::collections::VecDeque::new();
    let mut closed = Vec::new();
    for (record, &length) in lengths.iter().enumerate() {
        let fitting = open.iter_mut().find(|batch| batch.room >= length);
        if let Some(batch) = fitting {
            batch.room -= length;
            batch.records.push(record);
            continue;
        }
        if open.len() == OPEN_BATCHES {
            closed.extend(open.pop_front().map(|batch| batch.records));
        }
        open.push_back(Open { room: token_budget.saturating_sub(length), records: vec![record] });
    }
    closed.extend(open.into_iter().map(|batch| batch.records));
    closed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_records_fill_the_room_that_large_ones_leave() {
        assert_eq!(pack(&[6, 7, 4, 3, 12, 1], 10), [vec![0, 2], vec![1, 3], vec![4], vec![5]]);
        assert_eq!(pack(&[], 10), Vec::<Vec<usize>>::new());
    }

    proptest! {
        #[test]
        fn every_record_is_in_one_batch_within_the_budget(
            lengths in prop::collection::vec(0usize..50, 0..400),
            budget in 0usize..60,
        ) {
            let batches = pack(&lengths, budget);
            let mut seen: Vec<usize> = batches.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for batch in &batches {
                let tokens: usize = batch.iter().map(|&record| lengths[record]).sum();
                // A batch whose first record is too long may still hold empty ones.
                prop_assert!(tokens <= budget || tokens == lengths[batch[0]]);
                prop_assert!(batch.is_sorted());
            }
            prop_assert!(batches.iter().map(|batch| batch[0]).is_sorted());
        }
    }
}
