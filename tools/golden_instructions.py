#!/usr/bin/env python3
"""Makes crates/eval/tests/golden/instructions.json: sentences, words and words in capitals of each recorded response of
ifeval.json.gz, as NLTK counts them.

Needs: pip install nltk==3.8.1
Run:   python tools/golden_instructions.py
"""

import gzip
import json
from pathlib import Path

from nltk.tokenize import NLTKWordTokenizer, RegexpTokenizer
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

CRATE = Path(__file__).parent.parent / "crates/eval"


def english():
    model = json.loads(gzip.decompress((CRATE / "src/instructions/punkt/english.json.gz").read_bytes()))
    parameters = PunktParameters()
    parameters.abbrev_types = set(model["abbrev_types"])
    parameters.sent_starters = set(model["sent_starters"])
    parameters.collocations = {tuple(pair) for pair in model["collocations"]}
    parameters.ortho_context.update(model["ortho_context"])
    return PunktSentenceTokenizer(parameters)


def main():
    punkt, treebank, words = english(), NLTKWordTokenizer(), RegexpTokenizer(r"\w+")
    recorded = json.loads(gzip.decompress((CRATE / "tests/recorded/ifeval.json.gz").read_bytes()))
    counts = []
    for item in recorded:
        sentences = punkt.tokenize(item["response"])
        capital = sum(word.isupper() for sentence in sentences for word in treebank.tokenize(sentence))
        counts.append([len(sentences), len(words.tokenize(item["response"])), capital])
    (CRATE / "tests/golden/instructions.json").write_text(json.dumps(counts, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
