#!/usr/bin/env python3
"""Loads exported models with `transformers` and adapters with `peft`, and compares their log-probabilities with ours.

  camelid score MODEL FILE --all-tokens > scores.jsonl
  python tools/check_export.py scores.jsonl FOLDER [FOLDER ...] [--base FOLDER] [--tolerance 1e-3]

Each line of scores.jsonl has `tokens` and `log_probs`, one for each token and null where none was asked for. A FOLDER is
a Hugging Face folder, a folder with a PEFT adapter (on its recorded base, or on --base), or a .gguf file. All must be
the model that was scored. Exits with 1 when a log-probability differs by more than the tolerance.

Needs: pip install torch transformers peft gguf
"""

import argparse
import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

transformers.utils.logging.disable_progress_bar()


def read_scores(path, limit):
    """Pairs of token ids and log-probabilities."""
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file if line.strip()]
    if not lines:
        sys.exit(f"{path}: holds no scores")
    for number, line in enumerate(lines, 1):
        if len(line["tokens"]) != len(line["log_probs"]):
            sys.exit(f"{path}, line {number}: tokens and log_probs differ in length")
    return [(line["tokens"], line["log_probs"]) for line in lines[:limit]]


def load(path, base):
    """The model in f32, whatever it is stored as, and the folder of its tokenizer."""
    if path.suffix == ".gguf":
        return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32), None
    adapter_config = path / "adapter_config.json"
    if not adapter_config.exists():
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32), path
    from peft import PeftModel

    base = base or Path(json.loads(adapter_config.read_text())["base_model_name_or_path"])
    if base.suffix == ".gguf":
        model = AutoModelForCausalLM.from_pretrained(base.parent, gguf_file=base.name, dtype=torch.float32)
    else:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(model, path)
    if not any("lora_" in name for name, _ in adapted.named_parameters()):
        sys.exit(f"{path}: peft loaded no adapter weights")
    return adapted, path if (path / "tokenizer.json").exists() else None


@torch.no_grad()
def differences(model, scores):
    """|theirs - ours| of every scored token."""
    found = []
    for tokens, ours in scores:
        logits = model(torch.tensor([tokens])).logits[0, :-1].double()
        theirs = logits.log_softmax(-1).gather(1, torch.tensor(tokens[1:])[:, None])[:, 0]
        wanted = [i for i, value in enumerate(ours) if value is not None]
        if 0 in wanted:
            sys.exit("the first token of a sequence has a log-probability, but nothing predicts it")
        expected = torch.tensor([ours[i] for i in wanted], dtype=torch.float64)
        found.append((theirs[[i - 1 for i in wanted]] - expected).abs())
    return torch.cat(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scores", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--base", type=Path, help="base of the adapters, instead of the one they record")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--limit", type=int, default=None, help="compare at most this many sequences")
    arguments = parser.parse_args()

    scores = read_scores(arguments.scores, arguments.limit)
    passed = True
    for path in arguments.models:
        model, text = load(path, arguments.base)
        model.eval()
        difference = differences(model, scores)
        # A NaN must fail, so the comparison is for what passes.
        good = len(difference) > 0 and bool((difference <= arguments.tolerance).all())
        passed &= good
        note = ""
        if text is not None:
            tokenizer = AutoTokenizer.from_pretrained(text)
            note = f", tokenizer of {len(tokenizer)} tokens, {'with' if tokenizer.chat_template else 'no'} chat template"
        print(
            f"{path}: {'ok' if good else 'DIFFERS'}: {len(difference)} tokens of {len(scores)} sequences, "
            f"largest difference {difference.max():.2e}, mean {difference.mean():.2e}{note}"
        )
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
