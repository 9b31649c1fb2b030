#!/usr/bin/env python3
"""Makes crates/eval/tests/golden/rouge.json: ROUGE-L of pairs of texts by Google's rouge-score.

Needs: pip install rouge-score
Run:   python tools/golden_rouge.py
"""

import json
from pathlib import Path

from rouge_score import rouge_scorer

FILE = Path(__file__).parent.parent / "crates/eval/tests/golden/rouge.json"
TEXTS = [
    "Give three tips for staying healthy.",
    "Give me 3 tips for how to stay healthy, please!",
    "Write a short story about a fox and a hen.",
    "A fox, a hen - write a story (a short one) about them.",
    "write write write a a story story about fox hen hen",
    "Caf\u00e9 na\u00efve \u4f60\u597d 123abc ABC123",
    "don't stop_me now 3.14 e.g. U.S.A.",
    "dont stop me now 3 14 e g u s a",
    "\u0130stanbul's weather; \u212aelvin degrees",
    "!!!",
    "",
]


def main():
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    cases = []
    for reference in TEXTS:
        for candidate in TEXTS:
            score = scorer.score(reference, candidate)["rougeL"]
            cases.append([candidate, reference, score.precision, score.recall, score.fmeasure])
    FILE.write_text(json.dumps(cases, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
