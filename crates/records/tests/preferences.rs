//! Feedback in every format: what is read, what is refused and why, which responses are compared.

use std::path::Path;

use camelid_records::{
    Format, PairChoice, Preference, PreferenceRecord, PreferenceSet, ReadOptions, Record, Role, read_preferences_bytes,
};
use serde_json::{Value, json};

fn read(rows: &[Value]) -> PreferenceSet {
    let text: String = rows.iter().map(|row| row.to_string() + "\n").collect();
    read_preferences_bytes(Path::new("data.jsonl"), text.as_bytes(), &ReadOptions::default()).unwrap()
}

#[track_caller]
fn one(row: Value, format: Format) -> Preference {
    let set = read(&[row]);
    assert_eq!(set.format, format);
    match set.records.as_slice() {
        [PreferenceRecord::Ranked(preference)] => preference.clone(),
        other => panic!("{other:?}, refused: {:?}", set.rejects),
    }
}

/// `(role, content, whether it is part of the response)` of each turn.
#[track_caller]
fn turns(record: &Record) -> Vec<(Role, &str, bool)> {
    let Record::Conversation(conversation) = record else { panic!("{record:?}") };
    let turn = |message: &camelid_records::Message| {
        assert!(message.weight.is_none_or(|weight| weight == 0.0));
        message.weight.is_none()
    };
    conversation.messages.iter().map(|message| (message.role, message.content.as_str(), turn(message))).collect()
}

fn user(content: &str) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: &str) -> Value {
    json!({"role": "assistant", "content": content})
}

use Role::{Assistant, System, User};

#[test]
fn transcripts_share_their_leading_turns() {
    let preference = one(
        json!({
            "chosen": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Help?\n\nAssistant: Gladly.",
            "rejected": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Help?\n\nAssistant: No.",
        }),
        Format::Pair,
    );
    let prompt = [(User, "Hi", false), (Assistant, "Hello.", false), (User, "Help?", false)];
    assert_eq!(turns(&preference.responses[0].record), [&prompt[..], &[(Assistant, "Gladly.", true)]].concat());
    assert_eq!(turns(&preference.responses[1].record), [&prompt[..], &[(Assistant, "No.", true)]].concat());
    assert!(!preference.implicit_prompt);
}

#[test]
fn pairs_come_in_every_shape() {
    // Prompt, chosen, rejected as texts.
    let texts = one(json!({"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 5", "margin": 1.5}), Format::Pair);
    assert!(
        matches!(&texts.responses[0].record, Record::Completion { prompt, completion, .. } if prompt == "2 + 2 =" && completion == " 4")
    );
    assert_eq!(texts.margin, Some(1.5));
    // As message lists with an explicit prompt.
    let lists =
        json!({"prompt": [user("Hi")], "chosen": [assistant("A")], "rejected": [assistant("B")], "confidence": 0.75});
    let lists = one(lists, Format::Pair);
    assert_eq!(turns(&lists.responses[1].record), [(User, "Hi", false), (Assistant, "B", true)]);
    assert_eq!(lists.confidence, Some(0.75));
    // Whole conversations, the prompt repeated as a string (UltraFeedback, binarised).
    let whole = |answer: &str| json!([user("Hi"), assistant(answer)]);
    let row =
        json!({"prompt": "Hi", "chosen": whole("A"), "rejected": whole("B"), "score_chosen": 8.0, "score_rejected": 3});
    let binarised = one(row, Format::Pair);
    assert_eq!(turns(&binarised.responses[0].record), [(User, "Hi", false), (Assistant, "A", true)]);
    assert_eq!(binarised.responses.iter().map(|r| r.score).collect::<Vec<_>>(), [Some(8.0), Some(3.0)]);
    // A message list as prompt, single messages as responses (LLaMA-Factory).
    let row = json!({
        "conversations": [{"from": "human", "value": "Hi"}],
        "chosen": {"from": "gpt", "value": "A"}, "rejected": {"from": "gpt", "value": "B"}, "system": "Be brief.",
    });
    let factory = one(row, Format::Pair);
    assert_eq!(
        turns(&factory.responses[0].record),
        [(System, "Be brief.", false), (User, "Hi", false), (Assistant, "A", true)]
    );
    // A message list as prompt, texts as responses; a prompt text, assistant turns as responses.
    let expected = [(User, "Hi", false), (Assistant, "A", true)];
    let answered = one(json!({"prompt": [user("Hi")], "chosen": "A", "rejected": "B"}), Format::Pair);
    assert_eq!(turns(&answered.responses[0].record), expected);
    let answered = one(json!({"prompt": "Hi", "chosen": [assistant("A")], "rejected": [assistant("B")]}), Format::Pair);
    assert_eq!(turns(&answered.responses[0].record), expected);
    // Nothing but two texts: their tokens must say where the prompt ends.
    let plain = one(json!({"chosen": "Once upon a time", "rejected": "Once more"}), Format::Pair);
    assert!(plain.implicit_prompt && matches!(plain.responses[1].record, Record::Text { .. }));
}

/// The published rows have stray speakers' names, trailing blanks, answers of several paragraphs and one speaker twice.
#[test]
fn transcripts_as_published() {
    let preference = one(
        json!({
            "chosen": "\n\nHuman: What does \"Human: rights\" mean?\n\nAssistant: Two things.\n\nFirst, law. \n\nHuman: And\n\nHuman: then?\n\nAssistant: Custom.",
            "rejected": "\n\nHuman: What does \"Human: rights\" mean?\n\nAssistant: Two things.\n\nFirst, law. \n\nHuman: And\n\nHuman: then?\n\nAssistant: I don't know\n",
        }),
        Format::Pair,
    );
    assert_eq!(
        turns(&preference.responses[1].record),
        [
            (User, "What does \"Human: rights\" mean?", false),
            (Assistant, "Two things.\n\nFirst, law.", false),
            (User, "And\n\nthen?", false),
            (Assistant, "I don't know", true),
        ]
    );
}

#[test]
fn lists_are_ranked_by_scores_ranks_or_order() {
    let ranks = |preference: &Preference| preference.responses.iter().map(|r| r.rank).collect::<Vec<_>>();
    let completions = |preference: &Preference| -> Vec<String> {
        let text = |record: &Record| match record {
            Record::Completion { completion, .. } => completion.clone(),
            other => turns(other).last().unwrap().1.to_owned(),
        };
        preference.responses.iter().map(|response| text(&response.record)).collect()
    };
    let scored = one(json!({"prompt": "p", "responses": ["a", "b", "c"], "scores": [1, 3, 1]}), Format::Ranked);
    assert_eq!((completions(&scored), ranks(&scored)), (vec!["b".into(), "a".into(), "c".into()], vec![0, 1, 1]));
    let ranked = one(json!({"prompt": "p", "responses": ["a", "b", "c"], "ranks": [2, 1, 5]}), Format::Ranked);
    assert_eq!((completions(&ranked), ranks(&ranked)), (vec!["b".into(), "a".into(), "c".into()], vec![0, 1, 2]));
    // Ties keep the order of the file and share a rank, wherever they are.
    let tied =
        one(json!({"prompt": "p", "answers": ["a", "b", "c", "d", "e"], "ratings": [2, 9, 2, 9, 1]}), Format::Ranked);
    assert_eq!((completions(&tied).concat(), ranks(&tied)), ("bdace".into(), vec![0, 0, 1, 1, 2]));
    let ordered = one(json!({"prompt": "p", "responses": ["a", "b"]}), Format::Ranked);
    assert_eq!((completions(&ordered), ranks(&ordered)), (vec!["a".into(), "b".into()], vec![0, 1]));
    // UltraFeedback as published.
    let row = json!({"instruction": "Hi", "completions": [
        {"model": "m1", "response": "A", "overall_score": 4.5}, {"model": "m2", "response": "B", "overall_score": 9.0},
    ]});
    let feedback = one(row, Format::Ranked);
    assert_eq!(turns(&feedback.responses[0].record), [(User, "Hi", false), (Assistant, "B", true)]);
    assert_eq!(feedback.responses[0].score, Some(9.0));
}

#[test]
fn single_responses_and_steps() {
    let set = read(&[
        json!({"prompt": "p", "completion": "c", "label": true}),
        json!({"prompt": "p", "completion": "d", "label": 0}),
    ]);
    assert_eq!(set.format, Format::Unpaired);
    let desirable = |record: &PreferenceRecord| match record {
        PreferenceRecord::Unpaired(feedback) => feedback.desirable,
        other => panic!("{other:?}"),
    };
    assert_eq!(set.records.iter().map(desirable).collect::<Vec<_>>(), [true, false]);
    let chat = read(&[json!({"messages": [user("Hi"), assistant("A")], "label": "false"})]);
    let [PreferenceRecord::Unpaired(feedback)] = chat.records.as_slice() else { panic!("{chat:?}") };
    assert_eq!(turns(&feedback.record), [(User, "Hi", false), (Assistant, "A", true)]);
    let steps = read(&[json!({"prompt": "p", "completions": ["one", "two"], "labels": [true, false]})]);
    assert_eq!(steps.format, Format::Stepwise);
    let [PreferenceRecord::Stepwise(steps)] = steps.records.as_slice() else { panic!("{steps:?}") };
    assert_eq!((steps.steps.len(), &steps.labels[..]), (2, &[true, false][..]));
}

#[test]
fn published_sets() {
    let shp =
        json!({"history": "Why?", "human_ref_A": "A", "human_ref_B": "B", "labels": 0, "score_A": 3, "score_B": 9});
    let shp = one(shp, Format::Shp);
    assert_eq!(turns(&shp.responses[0].record)[1], (Assistant, "B", true));
    assert_eq!(shp.responses[0].score, Some(9.0));
    let row = json!({
        "info": {"subreddit": "tea", "title": "Green", "post": "I like it."},
        "summaries": [{"text": "Likes tea."}, {"text": "Tea."}], "choice": 1, "extra": {"confidence": 7},
    });
    let tldr = one(row, Format::Tldr);
    let Record::Completion { prompt, completion, .. } = &tldr.responses[0].record else { panic!("{tldr:?}") };
    assert_eq!(prompt, "SUBREDDIT: r/tea\n\nTITLE: Green\n\nPOST: I like it.\n\nTL;DR:");
    assert_eq!(completion, " Tea.");
    let reply = |text: &str, rank: Value, replies: Value| json!({"text": text, "role": "assistant", "rank": rank, "replies": replies});
    let deeper = json!([{"text": "More?", "role": "prompter", "replies": [
        reply("x", json!(1), json!([])), reply("y", json!(0), json!([])), reply("unranked", json!(null), json!([])),
    ]}]);
    let tree = json!({"message_tree_id": "t", "prompt": {"text": "Hi", "role": "prompter", "replies": [
        reply("second", json!(2), json!([])), reply("first", json!(0), deeper),
    ]}});
    let set = read(&[tree]);
    assert_eq!((set.format, set.records.len()), (Format::Oasst, 2));
    let [PreferenceRecord::Ranked(top), PreferenceRecord::Ranked(below)] = set.records.as_slice() else { panic!() };
    assert_eq!(turns(&top.responses[0].record), [(User, "Hi", false), (Assistant, "first", true)]);
    assert_eq!(top.responses.iter().map(|r| r.rank).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(turns(&below.responses[0].record).last().unwrap().1, "y");
    assert_eq!(turns(&below.responses[0].record).len(), 4);
}

#[test]
fn what_cannot_be_learned_from_is_refused_with_its_place() {
    let good = json!({"prompt": "p", "chosen": "a", "rejected": "b"});
    let pair = |fields: Value| {
        let mut row = good.clone();
        row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        (good.clone(), row)
    };
    let list = json!({"prompt": "p", "responses": ["a", "b"], "scores": [2, 1]});
    let ranked = |row: Value| (list.clone(), row);
    let step = json!({"prompt": "p", "completions": ["a"], "labels": [true]});
    let single = json!({"prompt": "p", "completion": "c", "label": true});
    let cases = [
        (pair(json!({"rejected": "a"})), "rejected: is the same as chosen"),
        (
            pair(json!({"prompt": null, "chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "a"})),
            "rejected: has another form than chosen",
        ),
        (
            pair(
                json!({"prompt": null, "chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: a "}),
            ),
            "rejected: is the same as chosen",
        ),
        (
            pair(json!({"prompt": null, "chosen": [assistant("a")], "rejected": [assistant("b")]})),
            "rejected: has no turn in common with chosen",
        ),
        (
            pair(json!({"prompt": null, "chosen": [user("q"), assistant("a")], "rejected": [user("q")]})),
            "rejected: the conversation is the beginning of the other one",
        ),
        (
            pair(json!({"chosen": [user("q"), assistant("a")], "rejected": [user("q"), assistant("b")]})),
            "chosen: the first turn is the user's, but not prompt",
        ),
        (
            pair(json!({"prompt": [user("q")], "chosen": [assistant("a")], "rejected": [user("b")]})),
            "rejected: the response has no assistant turn",
        ),
        (
            pair(json!({"prompt": [user("q")], "chosen": [assistant("a")], "rejected": [assistant(" ")]})),
            "rejected: the response is empty",
        ),
        (pair(json!({"confidence": 1.5})), "confidence: the confidence is 1.5"),
        (pair(json!({"margin": "inf"})), "margin: the number is inf"),
        (pair(json!({"rejected": "  "})), "rejected: the response is empty"),
        (pair(json!({"chosen": null})), "chosen: missing or null"),
        (pair(json!({"chosen": [user("p"), assistant("x")]})), "rejected: has another form than chosen"),
        (pair(json!({"score_chosen": "NaN", "score_rejected": 1})), "score_chosen: the number is NaN"),
        (pair(json!({"score_chosen": 1, "score_rejected": 2})), "the chosen response has score 1, the rejected one 2"),
        (pair(json!({"score_chosen": 2, "score_rejected": 2})), "both responses have score 2: a tie"),
        (pair(json!({"margin": "wide"})), "margin: this is a string, not a number"),
        (pair(json!({"confidence": 0})), "confidence: the confidence is 0"),
        (ranked(json!({"prompt": "p", "responses": ["a"], "scores": [1]})), "responses: there are 1 responses"),
        (ranked(json!({"prompt": "p", "responses": ["a", "b"], "scores": [1]})), "scores: there are 1 for 2 responses"),
        (ranked(json!({"prompt": "p", "responses": ["a", "b"], "scores": [1, 1]})), "responses: all responses tie"),
        (
            ranked(json!({"prompt": "p", "responses": ["a", "a"], "scores": [2, 1]})),
            "responses[1]: two responses are identical",
        ),
        (ranked(json!({"prompt": "p", "responses": ["a", ""], "scores": [2, 1]})), "the response is empty"),
        (ranked(json!({"prompt": "p", "responses": ["", "a"]})), "responses[0]: the response is empty"),
        (
            ranked(json!({"prompt": "p", "responses": [{"text": "a", "score": 1}, {"text": "b"}]})),
            "responses: 1 of 2 responses have a score",
        ),
        (
            ranked(json!({"prompt": "p", "responses": [{"text": "a", "rank": 4}, {"text": "b"}]})),
            "responses: 1 of 2 responses have a rank",
        ),
        (
            ranked(json!({"prompt": "p", "responses": [{"text": "a", "score": 1}, {"text": "b", "score": "NaN"}]})),
            "responses[1].score: the number is NaN",
        ),
        ((single.clone(), json!({"prompt": "p", "completion": "c", "label": null})), "label: missing or null"),
        (
            (step.clone(), json!({"prompt": "p", "completions": ["a", "b"], "labels": [true]})),
            "labels: there are 1 labels for 2 steps",
        ),
        (
            (step, json!({"prompt": "p", "completions": ["a", " "], "labels": [true, true]})),
            "completions[1]: the step is empty",
        ),
        (
            (single.clone(), json!({"prompt": "p", "completion": "c", "label": "maybe"})),
            "label: this is a string, not true or false",
        ),
        ((single, json!({"prompt": "p", "completion": "", "label": true})), "completion: the response is empty"),
    ];
    for ((good, bad), expected) in cases {
        let set = read(&[good, bad.clone()]);
        assert_eq!((set.records.len(), set.rejects.len()), (1, 1), "{bad}");
        let reject = &set.rejects[0];
        assert!(reject.reason.contains(expected), "{bad}: {}", reject.reason);
        assert!(!reject.fix.is_empty() && reject.provenance.row == 2, "{reject:?}");
    }
}

#[test]
fn a_reference_answer_stands_beside_the_responses() {
    let answer = |record: Option<&Record>| match record {
        None => None,
        Some(Record::Completion { completion, .. }) => Some(completion.clone()),
        Some(Record::Text { text, .. }) => Some(text.clone()),
        Some(chat) => Some(turns(chat).into_iter().filter(|turn| turn.2).map(|turn| turn.1).collect()),
    };
    let whole = |answer: &str| json!([user("Hi"), assistant(answer)]);
    let transcript = |answer: &str| format!("\n\nHuman: Hi\n\nAssistant: {answer}");
    let cases = [
        json!({"prompt": "p", "chosen": "a", "rejected": "b", "reference": "c"}),
        json!({"prompt": [user("Hi")], "chosen": "a", "rejected": "b", "reference": "c"}),
        json!({"prompt": [user("Hi")], "chosen": "a", "rejected": "b", "reference": whole("c")}),
        json!({"prompt": "Hi", "chosen": whole("a"), "rejected": whole("b"), "reference": [assistant("c")]}),
        json!({"chosen": whole("a"), "rejected": whole("b"), "reference": whole("c")}),
        json!({"chosen": transcript("a"), "rejected": transcript("b"), "reference": transcript("c")}),
        json!({"chosen": transcript("a"), "rejected": transcript("b"), "reference": "c"}),
        json!({"chosen": "pa", "rejected": "pb", "reference": "c"}),
    ];
    for row in cases {
        let preference = one(row.clone(), Format::Pair);
        assert_eq!(answer(preference.reference.as_ref()).as_deref(), Some("c"), "{row}");
        // The same prompt as the responses have: their turns but for the answer.
        if let (Some(reference @ Record::Conversation(_)), response) = (&preference.reference, &preference.responses[0])
        {
            let prompt = |record| turns(record).into_iter().filter(|turn| !turn.2).collect::<Vec<_>>();
            assert_eq!(prompt(reference), prompt(&response.record), "{row}");
        }
    }
    let list = json!({"instruction": "Hi", "responses": ["a", "b", "c"], "ranks": [2, 1, 3], "reference": "d"});
    assert_eq!(answer(one(list.clone(), Format::Ranked).reference.as_ref()).as_deref(), Some("d"));
    // The best response needs no branch of its own; absent is absent however it is written.
    for value in [json!("b"), json!(""), json!(null)] {
        let mut row = list.clone();
        row["reference"] = value;
        assert_eq!(one(row, Format::Ranked).reference, None);
    }
    let mapped = json!({"prompt": "p", "chosen": "a", "rejected": "b", "target": "c"}).to_string();
    let columns = [("reference".to_owned(), "target".to_owned())].into();
    let options = ReadOptions { columns, ..ReadOptions::default() };
    let set = read_preferences_bytes(Path::new("d.jsonl"), mapped.as_bytes(), &options).unwrap();
    let [PreferenceRecord::Ranked(preference)] = set.records.as_slice() else { panic!("{set:?}") };
    assert_eq!(answer(preference.reference.as_ref()).as_deref(), Some("c"));
}

#[test]
fn reference_answers_that_cannot_be_one_are_refused() {
    let good = json!({"prompt": "p", "chosen": "a", "rejected": "b", "reference": "c"});
    let with = |fields: Value| {
        let mut row = good.clone();
        row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        row
    };
    let chat = json!({"prompt": [user("q")], "chosen": "a", "rejected": "b"});
    let cases = [
        (with(json!({"reference": "  "})), "reference: the response is empty"),
        (with(json!({"reference": "b"})), "reference: is the same as a response that is not the best"),
        (with(json!({"reference": [assistant("c")]})), "reference: has another form than the responses"),
        (with(json!({"reference": 7})), "reference: this is a number, not a string or a list of messages"),
        (with(json!({"prompt": null, "reference": " "})), "reference: the response is empty"),
        (with(json!({"prompt": null, "reference": [assistant("c")]})), "reference: has another form"),
        (with(json!({"prompt": chat["prompt"], "reference": [assistant(" ")]})), "reference: the response is empty"),
        (
            with(json!({"prompt": chat["prompt"], "reference": [user("r"), assistant("c")]})),
            "reference: does not begin with the prompt",
        ),
    ];
    for (bad, expected) in cases {
        let set = read(&[good.clone(), bad.clone()]);
        assert_eq!((set.records.len(), set.rejects.len()), (1, 1), "{bad}");
        assert!(set.rejects[0].reason.contains(expected), "{bad}: {}", set.rejects[0].reason);
    }
}

#[test]
fn trees_need_replies_only_and_the_limit_counts_records() {
    let replies = |deeper: Value| {
        json!([
            {"text": "a", "role": "assistant", "rank": 0, "replies": deeper},
            {"text": "b", "role": "assistant", "rank": 1, "replies": []},
        ])
    };
    let below = json!([{"text": "More?", "role": "prompter", "replies": replies(json!([]))}]);
    let tree = json!({"prompt": {"text": "Hi", "role": "prompter", "replies": replies(below)}});
    assert_eq!(read(std::slice::from_ref(&tree)).records.len(), 2);
    let options = ReadOptions { limit: Some(1), ..ReadOptions::default() };
    let set = read_preferences_bytes(Path::new("d.jsonl"), tree.to_string().as_bytes(), &options).unwrap();
    assert_eq!((set.format, set.records.len()), (Format::Oasst, 1));
    let flat = json!({"prompt": {"text": "Hi", "role": "prompter", "replies": []}});
    let odd = json!({"prompt": {"text": "Hi", "role": "prompter", "replies": [{"text": "x", "role": "judge"}]}});
    let set = read(&[tree, flat, odd]);
    assert_eq!(set.rejects.len(), 2);
    assert!(set.rejects[0].reason.contains("prompt: no prompt of this tree has two replies"), "{:?}", set.rejects);
    assert!(set.rejects[1].reason.contains("prompt.replies[0].role: this is no role"), "{:?}", set.rejects);
}

#[test]
fn records_survive_serialisation() {
    let rows = [
        vec![json!({"prompt": [user("Hi")], "chosen": "A", "rejected": "B", "confidence": 0.5})],
        vec![json!({"chosen": "A", "rejected": "B", "reference": "C"})],
        vec![json!({"prompt": "p", "completion": "c", "label": "1"})],
        vec![json!({"prompt": [user("p")], "completions": ["c"], "labels": [1]})],
    ];
    for rows in rows {
        let record = read(&rows).records.remove(0);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<PreferenceRecord>(&text).unwrap(), record, "{text}");
        assert_eq!(record.provenance().to_string(), "data.jsonl:1");
    }
}

#[test]
fn columns_under_another_name_are_suggested() {
    let cases = [
        (
            json!({"chosen_messages": [user("Hi"), assistant("A")], "rejected_messages": [user("Hi"), assistant("B")]}),
            "format = \"pair\", columns = { chosen = \"chosen_messages\", rejected = \"rejected_messages\" }",
        ),
        (
            json!({"prompt": "p", "completion": "c", "desirable": true}),
            "format = \"unpaired\", columns = { label = \"desirable\" }",
        ),
    ];
    for (row, expected) in cases {
        let text = row.to_string();
        let error = read_preferences_bytes(Path::new("d.jsonl"), text.as_bytes(), &ReadOptions::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn demonstrations_and_feedback_are_not_confused() {
    let text = json!({"instruction": "Hi", "output": "Hello"}).to_string();
    let read = |text: &str| read_preferences_bytes(Path::new("d.jsonl"), text.as_bytes(), &ReadOptions::default());
    let message = read(&text).unwrap_err().to_string();
    assert!(message.contains("pair") && message.contains("unpaired"), "{message}");
    let options = ReadOptions { format: Some(Format::Alpaca), ..ReadOptions::default() };
    let message = read_preferences_bytes(Path::new("d.jsonl"), text.as_bytes(), &options).unwrap_err().to_string();
    assert!(message.contains("use one of pair, ranked"), "{message}");
}

#[test]
fn choices_of_pairs() {
    let mut none = |_: usize| 0;
    let row = json!({"prompt": "p", "responses": ["a", "b", "c", "d"], "scores": [4, 3, 3, 1]});
    let preference = one(row, Format::Ranked);
    let mut pairs = |choice| preference.pairs(choice, &mut none);
    assert_eq!(pairs(PairChoice::All), [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)]);
    assert_eq!(pairs(PairChoice::BestWorst), [(0, 3)]);
    assert_eq!(pairs(PairChoice::Adjacent), [(0, 1), (0, 2), (1, 3), (2, 3)]);
    assert_eq!(pairs(PairChoice::BestRandom), [(0, 1)]);
    let drawn = preference.pairs(PairChoice::BestRandom, &mut |count| {
        assert_eq!(count, 3);
        2
    });
    assert_eq!(drawn, [(0, 3)]);
}
