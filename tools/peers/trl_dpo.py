"""TRL's DPOTrainer, LoRA r = 16 on all linear layers, HH pairs, batch of 4 pairs, 512 tokens at most.

usage: trl_dpo.py default|f32|autocast|bf16 PREFERENCES_JSONL
"""

from trl import DPOConfig, DPOTrainer

import trl_common

trl_common.train_pairs(DPOTrainer, DPOConfig, trl_common.adapter("CAUSAL_LM"))
