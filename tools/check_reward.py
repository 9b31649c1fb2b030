"""Loads a reward model that camelid wrote in transformers and compares its rewards with those of `camelid score`.

    camelid run RECIPE                       # with a stage of kind "reward"
    camelid score RUN/model MESSAGES.jsonl --compute f32 > rewards.jsonl
    python tools/check_reward.py RUN/model MESSAGES.jsonl rewards.jsonl

Needs: pip install torch transformers. Scores are compared one by one and as a padded batch.
"""

import json
import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def main():
    folder, messages, rewards = sys.argv[1:4]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    rows = [json.loads(line)["messages"] for line in open(messages, encoding="utf-8")]
    ours = [json.loads(line)["reward"] for line in open(rewards, encoding="utf-8")]
    texts = [tokenizer.apply_chat_template(row, tokenize=False) for row in rows]
    encode = lambda texts: tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.no_grad():
        alone = [model(**encode([text])).logits.item() for text in texts]
        tokenizer.padding_side = "right"
        batch = model(**encode(texts)).logits[:, 0].tolist()
    worst_alone = max(abs(a - b) for a, b in zip(alone, ours, strict=True))
    worst_batch = max(abs(a - b) for a, b in zip(batch, ours, strict=True))
    print(f"{len(ours)} rewards from {min(ours):.3f} to {max(ours):.3f}: largest difference {worst_alone:.2e} alone, "
          f"{worst_batch:.2e} in a padded batch")  # fmt: skip
    sys.exit(0 if max(worst_alone, worst_batch) < 1e-3 else "the rewards differ")


main()
