//! Whatever a model writes, nothing panics, places are places in the text, and what is found there is what was found.

use camelid_eval::extraction::{boxed, choice, code, number, statement};
use camelid_eval::instructions::{Instruction, Relation};
use camelid_eval::overlap::rouge_l::{Words, rouge_l};
use proptest::prelude::*;

const PIECES: [&str; 46] = [
    "the answer is ",
    "Answer: ",
    "#### ",
    "\\boxed{",
    "\\fbox{",
    "}",
    "{",
    "$",
    "-",
    "1,234",
    ".5",
    "(A)",
    " A ",
    "**",
    "*",
    "\\frac",
    "\\sqrt",
    "```",
    "```python\n",
    "def f(",
    "\n",
    "\n\n",
    "***",
    "******",
    ". ",
    "...",
    ". . .",
    "Mr. ",
    "?!",
    "\"",
    "'",
    ")",
    "--",
    "<<",
    ">>",
    "[",
    "]",
    "答案是",
    "é",
    "−",
    "\u{301}",
    "P.S.",
    "A: 7\n",
    " and B",
    "one",
    "two",
];

/// Texts made of what the patterns look for, between anything.
fn response() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<String>(),
        4 => "[ -~\n]{0,12}",
        6 => prop::sample::select(PIECES.to_vec()).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_found_stands_there(text in response()) {
        if let Some(found) = number::extract(&text) {
            let there: Vec<number::Number> = number::numbers(&text[found.span]).map(|(number, _)| number).collect();
            prop_assert_eq!(there, vec![found.answer]);
        }
        let texts = [boxed::extract(&text), statement::extract(&text), code::extract(&text, "f")];
        for found in texts.into_iter().flatten() {
            prop_assert_eq!(&text[found.span], found.answer);
        }
        if let Some(found) = choice::extract(&text, &["one", "two", "three"]) {
            prop_assert!(found.answer < 3);
            let there = &text[found.span];
            prop_assert!(there == ["A", "B", "C"][found.answer] || there == ["one", "two", "three"][found.answer]);
        }
    }

    #[test]
    fn an_expression_is_the_same_with_spaces(text in "[-0-9a-z+*/(){}^_,]{0,24}", any in response()) {
        let spaced: String = text.chars().flat_map(|symbol| [symbol, ' ']).collect();
        prop_assert!(boxed::same(&text, &spaced), "{}", spaced);
        boxed::normalised(&any);
    }

    #[test]
    fn a_count_is_on_one_side_of_every_threshold(text in response(), count in 0_usize..12) {
        let both = |instruction: &dyn Fn(Relation) -> Instruction| {
            [Relation::AtLeast, Relation::LessThan].map(|relation| instruction(relation).is_followed(&text))
        };
        let exclusive = !text.trim().is_empty();
        for [enough, fewer] in [
            both(&|relation| Instruction::Sentences { relation, count }),
            both(&|relation| Instruction::Words { relation, count }),
            both(&|relation| Instruction::CapitalWords { relation, count }),
        ] {
            prop_assert_eq!(enough != fewer, exclusive);
        }
        for instruction in [
            Instruction::TwoResponses, Instruction::Json, Instruction::Title, Instruction::Quotation,
            Instruction::Paragraphs { exactly: count }, Instruction::Bullets { exactly: count },
            Instruction::Highlights { at_least: count }, Instruction::Placeholders { at_least: count },
        ] {
            prop_assert!(!instruction.is_followed(&text) || instruction.is_followed_loosely(&text));
        }
    }

    #[test]
    fn overlap_is_a_share(first in response(), second in response()) {
        let (first, second) = (Words::of(&first), Words::of(&second));
        let (there, back) = (rouge_l(&first, &second), rouge_l(&second, &first));
        prop_assert_eq!((there.precision, there.f1), (back.recall, back.f1));
        prop_assert!((0.0..=1.0).contains(&there.f1));
    }
}
