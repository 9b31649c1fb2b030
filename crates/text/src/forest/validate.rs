//! The invariants of a forest, checked.

use super::Forest;

impl Forest {
    /// Checks what every consumer relies on, and says which invariant is broken where:
    ///
    /// * runs are not empty, tile the rows in order, and are in pre-order;
    /// * a run's position is its depth;
    /// * targets ascend by row, lie in range, have a finite weight that is not zero;
    /// * a target's token is what follows its row in the tree.
    pub fn validate(&self) -> Result<(), String> {
        self.validate_runs()?;
        self.validate_targets()
    }

    fn validate_runs(&self) -> Result<(), String> {
        let mut next_row = 0;
        // Runs from the root to the last one seen.
        let mut path: Vec<u32> = Vec::new();
        for (index, run) in self.runs.iter().enumerate() {
            if run.len == 0 {
                return Err(format!("run {index} is empty"));
            }
            if run.row != next_row {
                return Err(format!("run {index} starts at row {}, the run before it ends at {next_row}", run.row));
            }
            next_row += run.len;
            while path.last().copied() != run.parent {
                if path.pop().is_none() {
                    return Err(format!("run {index} continues run {:?}, which breaks pre-order", run.parent));
                }
            }
            let depth = run.parent.map_or(0, |parent| {
                let parent = &self.runs[parent as usize];
                parent.position + parent.len
            });
            if run.position != depth {
                return Err(format!("run {index} starts at position {}, its depth is {depth}", run.position));
            }
            path.push(index as u32);
        }
        if next_row as usize != self.tokens.len() {
            return Err(format!("runs cover {next_row} rows of {}", self.tokens.len()));
        }
        Ok(())
    }

    fn validate_targets(&self) -> Result<(), String> {
        let mut after_last_row: Vec<Vec<u32>> = vec![Vec::new(); self.runs.len()];
        for run in &self.runs {
            if let Some(parent) = run.parent {
                after_last_row[parent as usize].push(self.tokens[run.row as usize]);
            }
        }
        let (mut run, mut last_row) = (0, 0);
        for (index, target) in self.targets.iter().enumerate() {
            let wrong = |what: String| Err(format!("target {index} {what}"));
            if target.row < last_row {
                return wrong(format!("has row {}, the one before it has {last_row}", target.row));
            }
            last_row = target.row;
            if target.row as usize >= self.tokens.len() {
                return wrong(format!("has row {} of {}", target.row, self.tokens.len()));
            }
            if target.branch >= self.branches {
                return wrong(format!("has branch {} of {}", target.branch, self.branches));
            }
            if !target.weight.is_finite() || target.weight == 0.0 {
                return wrong(format!("has weight {}", target.weight));
            }
            while self.runs[run].row + self.runs[run].len <= target.row {
                run += 1;
            }
            let inside = target.row + 1 < self.runs[run].row + self.runs[run].len;
            let follows = if inside {
                self.tokens[target.row as usize + 1] == target.token
            } else {
                after_last_row[run].contains(&target.token)
            };
            if !follows {
                return wrong(format!("predicts token {}, which does not follow row {}", target.token, target.row));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Forest, Run, Target};

    fn forest() -> Forest {
        let run = |parent, row, len, position| Run { parent, row, len, position };
        let target = |row, token, branch| Target { row, token, branch, weight: 1.0 };
        Forest {
            tokens: vec![1, 2, 3, 4, 5],
            runs: vec![run(None, 0, 2, 0), run(Some(0), 2, 1, 2), run(Some(0), 3, 2, 2)],
            targets: vec![target(1, 3, 0), target(1, 4, 1), target(3, 5, 1)],
            branches: 2,
            ends: Vec::new(),
        }
    }

    #[track_caller]
    fn broken(change: impl FnOnce(&mut Forest), expected: &str) {
        let mut forest = forest();
        assert_eq!(forest.validate(), Ok(()));
        change(&mut forest);
        let message = forest.validate().unwrap_err();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn each_broken_invariant_is_named() {
        broken(|f| f.runs[1].len = 0, "run 1 is empty");
        broken(|f| f.runs[2].row = 4, "run 2 starts at row 4");
        broken(|f| f.runs[1].parent = Some(2), "breaks pre-order");
        broken(|f| f.runs[2].parent = Some(1), "position 2, its depth is 3");
        broken(|f| f.tokens.push(9), "cover 5 rows of 6");
        broken(|f| f.targets.swap(0, 2), "the one before it has 3");
        broken(|f| f.targets[2].row = 7, "row 7 of 5");
        broken(|f| f.targets[2].branch = 2, "branch 2 of 2");
        broken(|f| f.targets[0].weight = 0.0, "weight 0");
        broken(|f| f.targets[0].weight = f32::NAN, "weight NaN");
        broken(|f| f.targets[1].token = 5, "does not follow row 1");
        broken(|f| f.targets[2].token = 4, "does not follow row 3");
    }
}
