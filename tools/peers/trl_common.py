"""What the scripts for TRL share: its settings, a clock over steps, and training on pairs."""

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


class Clock(TrainerCallback):
    """When training began and each step ended."""

    def __init__(self):
        self.ends = []

    def on_train_begin(self, *args, **kwargs):
        self.ends.append(time.perf_counter())

    def on_step_end(self, *args, **kwargs):
        self.ends.append(time.perf_counter())

    def elapsed(self, warm_up):
        """Seconds of the steps after the first `warm_up`."""
        return self.ends[-1] - self.ends[warm_up]


def options(setting):
    """`default` is TRL's own choice (gradient checkpointing, bf16 autocast); the others switch checkpointing off."""
    torch.set_num_threads(2)
    chosen = {"max_length": 512, "report_to": "none", "save_strategy": "no", "use_cpu": True, "disable_tqdm": True}
    if setting != "default":
        chosen["gradient_checkpointing"] = False
    if setting in ("f32", "bf16"):
        chosen["bf16"] = False
    if setting == "bf16":
        chosen["model_init_kwargs"] = {"dtype": "bfloat16"}
    return chosen


def adapter(task_type, **more):
    return LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type=task_type, **more)


def train(trainer_type, config_type, rows, tokenizer, lora, prepare=lambda trainer: None, *, setting, steps, **more):
    """Trains in a folder that is thrown away; returns the clock and what `prepare` made of the trainer."""
    folder, clock = tempfile.mkdtemp(), Clock()
    config = config_type(output_dir=folder, per_device_train_batch_size=4, max_steps=steps, **options(setting), **more)
    trainer = trainer_type(
        model=common.MODEL, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
        callbacks=[clock], peft_config=lora,
    )  # fmt: skip
    prepared = prepare(trainer)
    trainer.train()
    shutil.rmtree(folder)
    return clock, prepared


def train_pairs(trainer_type, config_type, lora):
    """Trains on the pairs that the command line names and prints pairs a second."""
    warm_up, steps = 2, 10
    setting, file = sys.argv[1:3]
    rows = [json.loads(line) for line in open(file, encoding="utf-8")]
    tokenizer = AutoTokenizer.from_pretrained(common.MODEL)
    clock, _ = train(trainer_type, config_type, rows, tokenizer, lora, setting=setting, steps=steps)
    common.result(pairs_per_second=4 * (steps - warm_up) / clock.elapsed(warm_up))
