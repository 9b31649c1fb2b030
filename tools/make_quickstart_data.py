"""Selects data/quickstart/ from the Dolly subset of the AlpaGasus authors.

    git clone https://github.com/gpt4life/alpagasus && git -C alpagasus checkout 95ad3e52510df8c0a2f0dd6cbe50b501acde83a1
    python tools/make_quickstart_data.py alpagasus/data/filtered/dolly_3k.json

Deterministic: the order is that of a hash of the instruction, and the source's own hash is checked.
"""

import hashlib
import json
import pathlib
import re
import sys

SOURCE_SHA256 = "cb8d16e85ec217a53587c96596a1e8971b8d72a2fd9d5bc23a2dd3d57b59eeea"
CATEGORIES = {"brainstorming", "classification", "general_qa", "open_qa"}
TRAIN, VALIDATION = 900, 80
# The sample is for everybody's first five minutes: rows on these subjects stay out.
AVOIDED = re.compile(
    r"\b(kill|killed|killer|murder\w*|suicid\w*|sex\w*|porn\w*|drugs?|cocaine|marijuana|weapons?|guns?|shoot\w*|bomb\w*"
    r"|nazi\w*|hitler|holocaust|terroris\w*|rape\w*|abuse\w*|slave\w*|racis\w*|trump|biden|putin|abortion|jesus|allah|god"
    r"|muslim\w*|jew\w*|islam\w*|christian\w*|religio\w*|politic\w*|war|wars|died|dead|death)\b",
    re.IGNORECASE,
)


def is_wanted(row):
    """A question without a passage, answered in a few plain sentences."""
    instruction, output = row["instruction"].strip(), row["output"].strip()
    return (
        row["category"] in CATEGORIES
        and not row["input"].strip()
        and 15 <= len(instruction) <= 200
        and 20 <= len(output) <= 400
        and (instruction + output).replace("\u2019", "'").isascii()
        and "http" not in output
        and not AVOIDED.search(instruction + " " + output)
    )


def main():
    source = pathlib.Path(sys.argv[1]).read_bytes()
    if hashlib.sha256(source).hexdigest() != SOURCE_SHA256:
        sys.exit(f"{sys.argv[1]} is not the file at that commit")
    rows = {row["instruction"].strip().lower(): row for row in json.loads(source) if is_wanted(row)}
    ordered = sorted(rows.values(), key=lambda row: hashlib.sha256(row["instruction"].encode()).hexdigest())
    folder = pathlib.Path(__file__).parent.parent / "data" / "quickstart"
    for name, part in [("validation", ordered[:VALIDATION]), ("train", ordered[VALIDATION : VALIDATION + TRAIN])]:
        with open(folder / f"{name}.jsonl", "w", encoding="utf-8", newline="\n") as file:
            for row in part:
                kept = {
                    "instruction": row["instruction"].strip(),
                    "output": row["output"].strip(),
                    "category": row["category"],
                }
                file.write(json.dumps(kept, ensure_ascii=False) + "\n")
        print(f"{name}: {len(part)} of {len(ordered)} rows that fit")


main()
