"""TRL's RewardTrainer, LoRA r = 16 on all linear layers, HH pairs, batch of 4 pairs, 512 tokens at most.

usage: trl_reward.py default|f32|autocast|bf16 PREFERENCES_JSONL

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
from trl import RewardConfig, RewardTrainer

WARM_UP, STEPS, BATCH = 2, 10, 4
setting, file = sys.argv[1:3]
torch.set_num_threads(2)
options = {}
if setting != "default":
    options["gradient_checkpointing"] = False
if setting in ("f32", "bf16"):
    options["bf16"] = False
if setting == "bf16":
    options["model_init_kwargs"] = {"dtype": "bfloat16"}
folder = tempfile.mkdtemp()
config = RewardConfig(
    output_dir=folder, per_device_train_batch_size=BATCH, max_length=512, max_steps=STEPS, report_to="none",
    save_strategy="no", use_cpu=True, disable_tqdm=True, **options,
)  # fmt: skip
rows = [json.loads(line) for line in open(file, encoding="utf-8")]


class Clock(TrainerCallback):
    def __init__(self):
        self.ends = []

    def on_train_begin(self, *args, **kwargs):
        self.ends.append(time.perf_counter())

    def on_step_end(self, *args, **kwargs):
        self.ends.append(time.perf_counter())


clock = Clock()
trainer = RewardTrainer(
    model=common.MODEL, args=config, train_dataset=Dataset.from_list(rows),
    processing_class=AutoTokenizer.from_pretrained(common.MODEL), callbacks=[clock],
    peft_config=LoraConfig(
        r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="SEQ_CLS", modules_to_save=["score"],
    ),
)  # fmt: skip
trainer.train()
shutil.rmtree(folder)
elapsed = clock.ends[STEPS] - clock.ends[WARM_UP]
common.result(pairs_per_second=BATCH * (STEPS - WARM_UP) / elapsed)
