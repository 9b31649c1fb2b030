"""TRL's SFTTrainer, LoRA r = 16 on all linear layers, conversations of mixed lengths, batch of 4, 512 tokens at most.

usage: trl_sft.py default|f32|autocast|bf16 unpacked|packed MESSAGES_JSONL
"""

import json
import sys

import common
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

import trl_common

WARM_UP, STEPS = 2, 12


class Counter:
    """Counts the tokens that are not padding in each batch."""

    def __init__(self, trainer):
        self.collator, self.useful = trainer.data_collator, []
        trainer.data_collator = self

    def __call__(self, examples):
        batch = self.collator(examples)
        mask = batch.get("attention_mask")
        self.useful.append(int(mask.sum()) if mask is not None else batch["input_ids"].numel())
        return batch


setting, packing, file = sys.argv[1:4]
tokenizer = AutoTokenizer.from_pretrained(common.MODEL)
# Whole conversations as text, so that every token is a target for both sides.
conversations = [json.loads(line)["messages"] for line in open(file, encoding="utf-8")]
rows = [{"text": tokenizer.apply_chat_template(messages, tokenize=False)} for messages in conversations]
clock, counter = trl_common.train(
    SFTTrainer, SFTConfig, rows, tokenizer, trl_common.adapter("CAUSAL_LM"), Counter,
    setting=setting, steps=STEPS, packing=packing == "packed",
)  # fmt: skip
common.result(tokens_per_second=sum(counter.useful[WARM_UP:STEPS]) / clock.elapsed(WARM_UP))
