//! Two outputs for one instruction, and the order in which a judge reads them.

use camelid_eval::judging::Output;

/// Two outputs to compare. A dialogue has several turns of its user and as many outputs on either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name in its data.
    pub id: String,
    /// What it shares with other cases, such as the prompt.
    pub group: String,
    /// What the user said; at least one turn.
    pub turns: Vec<String>,
    /// Answers of the first and of the second model, one a turn.
    pub outputs: [Vec<String>; 2],
    /// A right answer to each turn, where the data has some.
    pub references: Option<Vec<String>>,
}

impl Case {
    /// A case of one turn, which is its own group.
    pub fn single(id: impl Into<String>, instruction: impl Into<String>, outputs: [String; 2]) -> Self {
        let (id, outputs) = (id.into(), outputs.map(|output| vec![output]));
        Self { group: id.clone(), id, turns: vec![instruction.into()], outputs, references: None }
    }

    /// What was asked, as one text.
    pub fn instruction(&self) -> String {
        joined(&self.turns)
    }

    /// What one of the models answered, as one text.
    pub fn output(&self, output: Output) -> String {
        joined(self.turns_of(output))
    }

    pub fn turns_of(&self, output: Output) -> &[String] {
        let [first, second] = &self.outputs;
        match output {
            Output::First => first,
            Output::Second => second,
        }
    }

    /// The reference, as one text.
    pub fn reference(&self) -> Option<String> {
        self.references.as_ref().filter(|turns| !turns.is_empty()).map(|turns| joined(turns))
    }

    /// Characters of the two outputs.
    pub fn lengths(&self) -> [usize; 2] {
        [Output::First, Output::Second]
            .map(|output| self.turns_of(output).iter().map(|turn| turn.chars().count()).sum())
    }
}

/// One turn as it is, several under their numbers.
fn joined(turns: &[String]) -> String {
    match turns {
        [turn] => turn.clone(),
        turns => {
            let numbered = turns.iter().enumerate().map(|(turn, text)| format!("(turn {}) {text}", turn + 1));
            numbered.collect::<Vec<_>>().join("\n\n")
        }
    }
}

/// Which output a judge reads first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    AsGiven,
    Swapped,
}

impl Order {
    pub const BOTH: [Self; 2] = [Self::AsGiven, Self::Swapped];

    /// The outputs in places A and B.
    pub fn places(self) -> [Output; 2] {
        match self {
            Self::AsGiven => [Output::First, Output::Second],
            Self::Swapped => [Output::Second, Output::First],
        }
    }

    /// Figures of places A and B, as those of the first and the second output.
    pub fn back<T>(self, [a, b]: [T; 2]) -> [T; 2] {
        match self {
            Self::AsGiven => [a, b],
            Self::Swapped => [b, a],
        }
    }
}
