"""Selects data/preferences/ from the English DPO demonstration file of LLaMA-Factory.

    git clone https://github.com/hiyouga/LLaMA-Factory && git -C LLaMA-Factory checkout ff6d4d12eeb035d6ce06805a5733dd7b29f2ac30
    python tools/make_preference_data.py LLaMA-Factory/data/dpo_en_demo.json

Deterministic: the order is that of a hash of the prompt, and the source's own hash is checked.
"""

import gzip
import hashlib
import json
import pathlib
import re
import sys

SOURCE_SHA256 = "b949be2421cfa62744afcf1b479f95b299d643d1a4c1c97d1341b314a1aa5cb3"
TRAIN, VALIDATION = 48, 12
# The sample is for everybody's first minutes: rows on these subjects stay out.
AVOIDED = re.compile(
    r"\b(kill\w*|murder\w*|suicid\w*|sex\w*|porn\w*|drugs?|weapons?|guns?|shoot\w*|bomb\w*|nazi\w*|hitler|terroris\w*"
    r"|rape\w*|abuse\w*|racis\w*|trump|biden|putin|abortion|muslim\w*|jew\w*|religio\w*|politic\w*|war|dead|death)\b",
    re.IGNORECASE,
)


def is_wanted(row):
    """One question and two answers that fit 1,024 tokens."""
    texts = [row["conversations"][0]["value"], row["chosen"]["value"], row["rejected"]["value"]]
    return (
        len(row["conversations"]) == 1
        and len(texts[0]) <= 1500
        and all(40 <= len(text) <= 2800 for text in texts[1:])
        and all(ord(character) < 0x2100 for text in texts for character in text)
        and not AVOIDED.search(" ".join(texts))
    )


def main():
    source = pathlib.Path(sys.argv[1]).read_bytes()
    if sys.argv[1].endswith(".gz"):
        source = gzip.decompress(source)
    if hashlib.sha256(source).hexdigest() != SOURCE_SHA256:
        sys.exit(f"{sys.argv[1]} is not the file at that commit")
    rows = [row for row in json.loads(source) if is_wanted(row)]
    rows.sort(key=lambda row: hashlib.sha256(row["conversations"][0]["value"].encode()).hexdigest())
    folder = pathlib.Path(__file__).parent.parent / "data" / "preferences"
    for name, part in [("validation", rows[:VALIDATION]), ("train", rows[VALIDATION : VALIDATION + TRAIN])]:
        with open(folder / f"{name}.jsonl", "w", encoding="utf-8", newline="\n") as file:
            for row in part:
                turn = lambda role, content: {"role": role, "content": content.strip()}
                kept = {
                    "prompt": [turn("user", row["conversations"][0]["value"])],
                    "chosen": [turn("assistant", row["chosen"]["value"])],
                    "rejected": [turn("assistant", row["rejected"]["value"])],
                }
                file.write(json.dumps(kept, ensure_ascii=False) + "\n")
        print(f"{name}: {len(part)} of {len(rows)} rows that fit")


main()
