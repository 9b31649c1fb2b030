#!/usr/bin/env python3
"""Makes the golden files of crates/text/tests/golden.

templates.json: conversations through chat templates, as `transformers` renders them, with the tokens of the whole and,
                where the template marks what the assistant says, which tokens those are.
byte_level.json, sentence_piece.json: small vocabularies and the ids of many strings under each way of splitting text.

The templates are those of crates/text/tests/templates: SmolLM2's own, and one of each common shape.

Needs: pip install transformers tokenizers
Run:   python tools/golden_text.py
"""

import datetime
import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

TEMPLATES = Path(__file__).parent.parent / "crates/text/tests/templates"
FOLDER = Path(__file__).parent.parent / "crates/text/tests/golden"
NOW = datetime.datetime(2026, 3, 9, 17, 5, 0)

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<|start|>", "<|stop|>", "<|eot|>", "<|turn|>", "<|end|>"]
# Begin-of-sequence and end tokens under which each template runs.
ENDS = {
    "smollm2": ("<|im_start|>", "<|im_end|>"),
    "chatml": ("<|endoftext|>", "<|im_end|>"),
    "headers": ("<s>", "<|eot|>"),
    "instruct": ("<s>", "</s>"),
    "turns": ("<s>", "<|endoftext|>"),
    "tools": ("<|endoftext|>", "<|im_end|>"),
    "thinking": ("<|endoftext|>", "<|im_end|>"),
    "python": ("<s>", "</s>"),
}

WORDS = """
A model reads the prompt and writes the answer, one token after another. The user asks, the assistant answers, and the
system says how. Cats, dogs and birds; 12 apples, 345 pears, 6789 plums. I'm sure they're here, we've seen it, she'll
say it's late, he'd agree, don't. Why is the sky blue? Because of scattering. def add(left, right): return left + right
for index in range(10): print(index) if index % 2 == 0 else None. { "name": "weather", "arguments": { "city": "Paris" } }
Der schnelle braune Fuchs springt. Où est la bibliothèque? El niño comió mañana. Быстрая лиса. 快速的棕色狐狸。素早い狐。
""".split("\n")


def corpus():
    chooser = random.Random(1)
    words = " ".join(WORDS).split()
    for _ in range(400):
        yield " ".join(chooser.choices(words, k=12))
    yield from WORDS


def strings():
    """Strings in which splitting, normalising or byte fallback could differ."""
    chooser = random.Random(2)
    pieces = [
        "the", "The", "answer", "I'm", "WE'VE", "don't", "they'LL", "123", "7", "3.14", "2024-11-03", " ", "  ", "    ",
        "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", ".", "...", "!?", "(", ")", "{}", "->", "==", "_", "é", "e\u0301",
        "ß", "Ж", "狐狸", "。", "ひらがな", "한국어", "😀", "👩‍👩‍👧", "🇫🇷", "\u200b", "\u0000", "<|im_end|>", "<s>",
        "</s>", "<|im_end", "def f(x):", "//", "#", "'", '"', "'s", " 's", "½", "²", "٣", "Ⅷ", "ﬁ", "A", "b", "\u2028",
    ]
    fixed = ["", " ", "a", " a", "a ", "  a", "\n", " \n a", "Hello world", "  12  345 6", "x\n\n\ny", "\ufeffbom"]
    return fixed + ["".join(chooser.choices(pieces, k=chooser.randint(1, 9))) for _ in range(240)]


def byte_level_words():
    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def split(pattern):
    words = pre_tokenizers.Split(Regex(pattern), "isolated")
    return pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def digits():
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level_words()])


LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# GGUF's name of the splitting: how to split, whether Unicode is composed first, whether whole words are looked up.
SPLITTINGS = {
    "smollm": (digits, False, False),
    "gpt-2": (byte_level_words, False, False),
    "olmo": (byte_level_words, True, False),
    "llama-bpe": (lambda: split(LLAMA3), False, True),
    "qwen2": (lambda: split(QWEN2), True, False),
}


def byte_level_tokenizer(name):
    words, compose, whole_words = SPLITTINGS[name]
    tokenizer = Tokenizer(models.BPE(ignore_merges=whole_words))
    tokenizer.pre_tokenizer = words()
    tokenizer.decoder = decoders.ByteLevel()
    if compose:
        tokenizer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False, special=False)])
    return tokenizer


def tokens_of(tokenizer):
    vocabulary = tokenizer.get_vocab()
    return [token for token, _ in sorted(vocabulary.items(), key=lambda entry: entry[1])]


def byte_level():
    texts = strings()
    cases = []
    for name in SPLITTINGS:
        tokenizer = byte_level_tokenizer(name)
        tokens = tokens_of(tokenizer)
        merges = json.loads(tokenizer.to_str())["model"]["merges"]
        types = [3 if token in SPECIAL else 4 if token == "<tool_call>" else 1 for token in tokens]
        cases.append({
            "pre": name,
            "tokens": tokens,
            "token_types": types,
            "merges": [" ".join(merge) if isinstance(merge, list) else merge for merge in merges],
            "ids": [tokenizer.encode(text, add_special_tokens=False).ids for text in texts],
        })
    return {"texts": texts, "vocabularies": cases}


def sentence_piece():
    """A vocabulary with scores, and ids by SentencePiece's rule: join the neighbours that make the best token."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trained.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=500, limit_alphabet=90, show_progress=False))
    special = ["<unk>", "<s>", "</s>"]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    learned = [token for token in tokens_of(trained)]
    tokens = special + byte_tokens + learned
    # Single characters come last in a SentencePiece vocabulary; the longer a token took to learn, the worse its score.
    merged = [token for token in learned if len(token) > 1]
    rank = {token: -float(index) for index, token in enumerate(merged + [token for token in learned if len(token) == 1])}
    scores = [0.0] * (len(special) + 256) + [rank[token] for token in learned]
    types = [2, 3, 3] + [6] * 256 + [1] * len(learned)
    ids = {token: index for index, token in enumerate(tokens)}

    def encode_piece(text):
        pieces = list(text)
        while True:
            joined = [(scores[ids[a + b]], -index) for index, (a, b) in enumerate(zip(pieces, pieces[1:])) if a + b in rank]
            if not joined:
                break
            at = -max(joined)[1]
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
        return [i for piece in pieces for i in ([ids[piece]] if piece in ids else [ids[f"<0x{byte:02X}>"] for byte in piece.encode()])]

    def encode(text, prefix):
        found = []
        rest = text
        while rest:
            # Special tokens are cut out first, the leftmost first.
            places = [(rest.find(token), token) for token in special if token in rest]
            at, token = min(places) if places else (len(rest), None)
            if at > 0:
                words = ("\u2581" if prefix else "") + rest[:at].replace(" ", "\u2581")
                found += encode_piece(words)
            if token is None:
                break
            found.append(ids[token])
            rest = rest[at + len(token) :]
        return found

    texts = strings()
    return {
        "tokens": tokens,
        "scores": scores,
        "token_types": types,
        "texts": texts,
        "ids": [encode(text, True) for text in texts],
        "ids_without_prefix": [encode(text, False) for text in texts],
    }


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Today's weather — \"now\" & <here>",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 1, "enum": []}},
                "required": ["city"],
            },
        },
    },
    {"type": "function", "function": {"name": "time", "parameters": {"type": "object", "properties": {}}}},
]


def system(content):
    return {"role": "system", "content": content}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def tool(content):
    return {"role": "tool", "content": content}


def call(name, **arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


CONVERSATIONS = {
    "plain": [user("Why is the sky blue?"), assistant("Because of scattering.")],
    "system": [system("Answer briefly."), user("Hi"), assistant("Hello!")],
    "several turns": [user("a"), assistant("user"), user("assistant"), assistant("a"), user("Say it"), assistant("It.\nTwice.")],
    "blanks around": [user("  Hi \n"), assistant("\n Hello there  \n"), user("So?"), assistant(" Yes ")],
    "other scripts": [user("Où est le 狐狸? 😀"), assistant("Là-bas 👩‍👩‍👧.\n\n\n12  345")],
    "the same words": [user("yes"), assistant("yes"), user("yes"), assistant("yes")],
    "without answer": [system("S"), user("Say cheese, please!")],
    "two answers": [user("Go"), assistant("First."), assistant("Second.")],
    "thoughts": [user("Add"), assistant("<think>\n1 and 1\n</think>\n\nTwo."), user("More"), assistant("<think>\nthree\n</think>\n\nThree.")],
    "calls": [
        system("Use tools."),
        user("Weather in Paris and the time?"),
        assistant("", tool_calls=[call("weather", city="Paris", days=2), call("time")]),
        tool('{"sky": "blue"}'),
        tool("17:05"),
        assistant("Blue, at 17:05."),
        user("And Rome?"),
        assistant("Let me look.", tool_calls=[call("weather", city="Rome é")]),
        tool("grey"),
        assistant("Grey."),
    ],
}
ARGUMENTS = {"thinking": {"enable_thinking": False}, "headers": {"today": "1 Jan 2025"}, "python": {"extra": {"deep": ["d"]}}}


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def render(template, ends, messages, tools, arguments, add_generation_prompt):
    try:
        rendered, _ = chat_template_utils.render_jinja_template(
            conversations=[messages],
            tools=tools,
            chat_template=template,
            add_generation_prompt=add_generation_prompt,
            bos_token=ends[0],
            eos_token=ends[1],
            **arguments,
        )
    except Exception as error:  # Whatever the template throws is the expected outcome.
        return {"error": str(error)}
    return {"text": rendered[0]}


def templates():
    chat_template_utils.datetime = FixedTime
    tokenizer = byte_level_tokenizer("smollm")
    cases = []
    for name, ends in ENDS.items():
        template = (TEMPLATES / f"{name}.jinja").read_text()
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=ends[0], eos_token=ends[1])
        for title, messages in CONVERSATIONS.items():
            for arguments in [{}] + ([ARGUMENTS[name]] if name in ARGUMENTS else []):
                tools = TOOLS if title == "calls" else None
                case = {"template": name, "conversation": title, "tools": tools, "arguments": arguments}
                case["rendered"] = render(template, ends, messages, tools, arguments, False)
                case["prompt"] = render(template, ends, messages, tools, arguments, True)
                if "text" in case["rendered"]:
                    case["ids"] = fast(case["rendered"]["text"], add_special_tokens=False)["input_ids"]
                    if "endgeneration" in template:
                        encoded = fast.apply_chat_template(
                            messages,
                            tools=tools,
                            chat_template=template,
                            tokenize=True,
                            return_dict=True,
                            return_assistant_tokens_mask=True,
                            sanitize_control_tokens=False,
                            **arguments,
                        )
                        assert encoded["input_ids"] == case["ids"], (name, title)
                        case["learned"] = encoded["assistant_masks"]
                cases.append(case)
    return {
        "now": NOW.isoformat(),
        "tokenizer": json.loads(tokenizer.to_str()),
        "templates": {name: (TEMPLATES / f"{name}.jinja").read_text() for name in ENDS},
        "ends": ENDS,
        "conversations": CONVERSATIONS,
        "cases": cases,
    }


def write(name, value):
    # One entry a line, so that a change shows as the lines it touches.
    lines = (f"{json.dumps(key)}: {json.dumps(entry, ensure_ascii=False)}" for key, entry in value.items())
    (FOLDER / name).write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    write("byte_level.json", byte_level())
    write("sentence_piece.json", sentence_piece())
    write("templates.json", templates())


if __name__ == "__main__":
    main()
