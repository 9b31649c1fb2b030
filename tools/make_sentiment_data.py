"""Writes data/sentiment: review sentences to pre-train on, prefixes of other sentences as prompts, and a sentiment lexicon.

    python tools/make_sentiment_data.py SENTENCES VADER_LEXICON

SENTENCES is the sentence polarity data set (Pang and Lee 2005) as JSON lines with `text`, plain or gz; VADER_LEXICON is
vader_lexicon.txt of the package vaderSentiment 3.3.2. No sentence is used twice, and no prompt stands in two files.
"""

import gzip
import json
import random
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "data" / "sentiment"
PROMPTS = {"train": 900, "validation": 100, "test": 300}
PRETRAIN_VALIDATION = 200
WORD = re.compile(r"[a-z][a-z'-]*")


def sentences(path):
    """Sentences in plain ASCII, each once, in an order that depends on nothing but them."""
    opened = gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8")
    with opened as lines:
        texts = {" ".join(json.loads(line)["text"].split()) for line in lines}
    texts = sorted(text for text in texts if text.isascii() and 4 <= len(text.split()) <= 40)
    random.Random(0).shuffle(texts)
    return texts


def prompts(texts):
    """Files of prefixes of 2 to 8 words with at least 4 words left out, and the sentences that are left."""
    choose = random.Random(1)
    files, seen, used = {name: [] for name in PROMPTS}, set(), 0
    for name, count in PROMPTS.items():
        while len(files[name]) < count:
            words = texts[used].split()
            used += 1
            prefix = " ".join(words[: choose.randint(2, 8)])
            if len(words) < len(prefix.split()) + 4 or prefix in seen or not WORD.fullmatch(prefix.split()[-1]):
                continue
            seen.add(prefix)
            files[name].append(prefix)
    return files, texts[used:]


def write_lines(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        # No name and no time inside, so that the same rows give the same file.
        with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write(text.encode())
    else:
        path.write_text(text, encoding="utf-8")


def lexicon(path):
    """Words and their mean valence; emoticons and phrases are left out."""
    with open(path, encoding="utf-8") as lines:
        rows = [line.split("\t")[:2] for line in lines if line.strip()]
    # Of a word that stands there twice, its package takes the last.
    return sorted({word: float(valence) for word, valence in rows if WORD.fullmatch(word)}.items())


def main(sentence_path, lexicon_path):
    files, rest = prompts(sentences(sentence_path))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, prefixes in files.items():
        rows = [{"messages": [{"role": "user", "content": prefix}]} for prefix in prefixes]
        write_lines(FOLDER / f"prompts-{name}.jsonl", rows)
    write_lines(FOLDER / "pretrain.jsonl.gz", [{"text": text} for text in rest[PRETRAIN_VALIDATION:]])
    write_lines(FOLDER / "pretrain-validation.jsonl", [{"text": text} for text in rest[:PRETRAIN_VALIDATION]])
    rows = [f"{word}\t{valence:g}\n" for word, valence in lexicon(lexicon_path)]
    (FOLDER / "lexicon.tsv").write_text("".join(rows), encoding="utf-8")


main(*sys.argv[1:])
