/// Why an instruction cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstructionError {
    #[error("{id:?} is no known instruction\n  fix: use one of the 25 of IFEval, such as \"punctuation:no_comma\"")]
    Unknown { id: String },
    #[error("{id}: {argument} is {found}, not {expected}\n  fix: give it in this instruction's arguments")]
    Argument { id: String, argument: &'static str, found: String, expected: &'static str },
}
