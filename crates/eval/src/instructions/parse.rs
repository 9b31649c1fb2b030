//! Instructions in their published form: a name and arguments.

use serde_json::{Map, Value};

use super::{Instruction, InstructionError, Relation};

/// The arguments of one instruction.
struct Arguments<'v> {
    id: &'v str,
    values: &'v Map<String, Value>,
}

impl Arguments<'_> {
    fn wrong(&self, argument: &'static str, expected: &'static str) -> InstructionError {
        let found = self.values.get(argument).map_or_else(|| "missing".to_owned(), ToString::to_string);
        InstructionError::Argument { id: self.id.to_owned(), argument, found, expected }
    }

    fn count(&self, argument: &'static str) -> Result<usize, InstructionError> {
        let count = self.values.get(argument).and_then(|value| {
            // Some published files write counts as 3.0.
            value.as_u64().or_else(|| {
                value.as_f64().filter(|count| count.fract() == 0.0 && *count >= 0.0).map(|count| count as u64)
            })
        });
        count.map(|count| count as usize).ok_or_else(|| self.wrong(argument, "a count"))
    }

    fn text(&self, argument: &'static str) -> Result<String, InstructionError> {
        let text = self.values.get(argument).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| self.wrong(argument, "a text"))
    }

    fn texts(&self, argument: &'static str) -> Result<Vec<String>, InstructionError> {
        let texts = self.values.get(argument).and_then(Value::as_array).filter(|texts| !texts.is_empty());
        let texts: Option<Vec<String>> =
            texts.and_then(|texts| texts.iter().map(|text| text.as_str().map(str::to_owned)).collect());
        texts.ok_or_else(|| self.wrong(argument, "a list of texts"))
    }

    fn relation(&self, argument: &'static str) -> Result<Relation, InstructionError> {
        match self.values.get(argument).and_then(Value::as_str) {
            Some("less than") => Ok(Relation::LessThan),
            Some("at least") => Ok(Relation::AtLeast),
            _ => Err(self.wrong(argument, "\"less than\" or \"at least\"")),
        }
    }
}

impl Instruction {
    /// From `instruction_id_list` and `kwargs` of the published prompts. Arguments that an instruction does not have
    /// are passed over, as some copies list all arguments with each.
    pub fn parse(id: &str, arguments: &Map<String, Value>) -> Result<Self, InstructionError> {
        let given = Arguments { id, values: arguments };
        Ok(match id {
            "change_case:english_capital" => Self::AllCapital,
            "change_case:english_lowercase" => Self::AllLowercase,
            "change_case:capital_word_frequency" => Self::CapitalWords {
                relation: given.relation("capital_relation")?,
                count: given.count("capital_frequency")?,
            },
            "combination:repeat_prompt" => Self::RepeatPrompt { prompt: given.text("prompt_to_repeat")? },
            "combination:two_responses" => Self::TwoResponses,
            "detectable_content:number_placeholders" => {
                Self::Placeholders { at_least: given.count("num_placeholders")? }
            }
            "detectable_content:postscript" => Self::Postscript { marker: given.text("postscript_marker")? },
            "detectable_format:constrained_response" => Self::ConstrainedResponse,
            "detectable_format:json_format" => Self::Json,
            "detectable_format:multiple_sections" => {
                Self::Sections { marker: given.text("section_spliter")?, at_least: given.count("num_sections")? }
            }
            "detectable_format:number_bullet_lists" => Self::Bullets { exactly: given.count("num_bullets")? },
            "detectable_format:number_highlighted_sections" => {
                Self::Highlights { at_least: given.count("num_highlights")? }
            }
            "detectable_format:title" => Self::Title,
            "keywords:existence" => Self::Keywords { all: given.texts("keywords")? },
            "keywords:forbidden_words" => Self::ForbiddenWords { none: given.texts("forbidden_words")? },
            "keywords:frequency" => Self::KeywordFrequency {
                keyword: given.text("keyword")?,
                relation: given.relation("relation")?,
                count: given.count("frequency")?,
            },
            "keywords:letter_frequency" => Self::LetterFrequency {
                letter: given.text("letter")?.chars().next().ok_or_else(|| given.wrong("letter", "a letter"))?,
                relation: given.relation("let_relation")?,
                count: given.count("let_frequency")?,
            },
            "language:response_language" => Self::Language { code: given.text("language")? },
            "length_constraints:nth_paragraph_first_word" => Self::NthParagraph {
                paragraphs: given.count("num_paragraphs")?,
                nth: given.count("nth_paragraph")?,
                first_word: given.text("first_word")?.to_lowercase(),
            },
            "length_constraints:number_paragraphs" => Self::Paragraphs { exactly: given.count("num_paragraphs")? },
            "length_constraints:number_sentences" => {
                Self::Sentences { relation: given.relation("relation")?, count: given.count("num_sentences")? }
            }
            "length_constraints:number_words" => {
                Self::Words { relation: given.relation("relation")?, count: given.count("num_words")? }
            }
            "punctuation:no_comma" => Self::NoComma,
            "startend:end_checker" => Self::EndPhrase { phrase: given.text("end_phrase")? },
            "startend:quotation" => Self::Quotation,
            _ => return Err(InstructionError::Unknown { id: id.to_owned() }),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(id: &str, arguments: &Value) -> Result<Instruction, String> {
        Instruction::parse(id, arguments.as_object().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn published_forms() {
        let words = json!({"relation": "at least", "num_words": 300, "keyword": null});
        let expected = Instruction::Words { relation: Relation::AtLeast, count: 300 };
        assert_eq!(parse("length_constraints:number_words", &words), Ok(expected));
        assert_eq!(
            parse("detectable_format:number_bullet_lists", &json!({"num_bullets": 3.0})),
            Ok(Instruction::Bullets { exactly: 3 })
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (id, arguments, message) in [
            ("punctuation:no_comas", json!({}), "\"punctuation:no_comas\" is no known instruction"),
            (
                "keywords:existence",
                json!({"keywords": "rock"}),
                "keywords:existence: keywords is \"rock\", not a list of texts",
            ),
            ("keywords:existence", json!({}), "keywords:existence: keywords is missing, not a list of texts"),
            (
                "length_constraints:number_words",
                json!({"relation": "at most"}),
                "relation is \"at most\", not \"less than\" or \"at least\"",
            ),
            ("detectable_format:number_bullet_lists", json!({"num_bullets": -1}), "num_bullets is -1, not a count"),
        ] {
            let error = parse(id, &arguments).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
