"""Writes data/arithmetic: sums and differences of small numbers, as questions with the answers that are right.

    python tools/make_arithmetic_data.py

The held-out questions are about pairs of numbers that no training question has.
"""

import json
import random
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "data" / "arithmetic"


def question(a, sign, b):
    result = a + b if sign == "+" else a - b
    messages = [
        {"role": "user", "content": f"What is {a} {sign} {b}? Answer with the number only."},
        {"role": "assistant", "content": str(result)},
    ]
    return json.dumps({"messages": messages})


def main():
    random.seed(0)
    pairs = [(a, b) for a in range(2, 20) for b in range(2, 20) if a >= b]
    random.shuffle(pairs)
    held_out, training = pairs[:32], pairs[32:]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, pairs in (("train", training), ("validation", held_out)):
        lines = [question(a, sign, b) for a, b in pairs for sign in "+-"]
        random.shuffle(lines)
        (FOLDER / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


main()
