"""TRL's RewardTrainer, LoRA r = 16 on all linear layers, HH pairs, batch of 4 pairs, 512 tokens at most.

usage: trl_reward.py default|f32|autocast|bf16 PREFERENCES_JSONL
"""

from trl import RewardConfig, RewardTrainer

import trl_common

trl_common.train_pairs(RewardTrainer, RewardConfig, trl_common.adapter("SEQ_CLS", modules_to_save=["score"]))
