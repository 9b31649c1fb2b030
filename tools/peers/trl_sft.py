"""TRL's SFTTrainer, LoRA r = 16 on all linear layers, conversations of mixed lengths, batch of 4, 512 tokens at most.

usage: trl_sft.py default|f32|autocast|bf16 unpacked|packed MESSAGES_JSONL

`default` is TRL's own choice (gradient checkpointing, bf16 autocast); the others switch checkpointing off.
"""

import json
import shutil
import sys
import tempfile
import time

import common
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

WARM_UP, STEPS = 2, 12
setting, packing, file = sys.argv[1:4]
torch.set_num_threads(2)
options = {}
if setting != "default":
    options["gradient_checkpointing"] = False
if setting in ("f32", "bf16"):
    options["bf16"] = False
if setting == "bf16":
    options["model_init_kwargs"] = {"dtype": "bfloat16"}
folder = tempfile.mkdtemp()
config = SFTConfig(
    output_dir=folder, per_device_train_batch_size=4, max_length=512, packing=packing == "packed", max_steps=STEPS,
    report_to="none", save_strategy="no", use_cpu=True, disable_tqdm=True, **options,
)  # fmt: skip
tokenizer = AutoTokenizer.from_pretrained(common.MODEL)
# Whole conversations as text, so that every token is a target for both sides.
texts = [
    tokenizer.apply_chat_template(json.loads(line)["messages"], tokenize=False) for line in open(file, encoding="utf-8")
]


class Clock(TrainerCallback):
    def __init__(self):
        self.ends = []

    def on_train_begin(self, *args, **kwargs):
        self.ends.append(time.perf_counter())

    def on_step_end(self, *args, **kwargs):
        self.ends.append(time.perf_counter())


class Counter:
    """Counts the tokens that are not padding in each batch."""

    def __init__(self, collator):
        self.collator, self.useful = collator, []

    def __call__(self, examples):
        batch = self.collator(examples)
        mask = batch.get("attention_mask")
        self.useful.append(int(mask.sum()) if mask is not None else batch["input_ids"].numel())
        return batch


clock = Clock()
trainer = SFTTrainer(
    model=common.MODEL, args=config, train_dataset=Dataset.from_list([{"text": t} for t in texts]),
    processing_class=tokenizer, callbacks=[clock],
    peft_config=LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"),
)  # fmt: skip
counter = trainer.data_collator = Counter(trainer.data_collator)
trainer.train()
shutil.rmtree(folder)
elapsed = clock.ends[STEPS] - clock.ends[WARM_UP]
common.result(tokens_per_second=sum(counter.useful[WARM_UP:STEPS]) / elapsed)
