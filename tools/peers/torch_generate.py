"""Sampling with transformers: `generate` with its cache.

usage: torch_generate.py f32|bf16 PROMPT_TOKENS PROMPTS SAMPLES TOKENS
"""

import sys
import time

import common
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

RUNS = 3
precision, (prompt, prompts, samples, tokens) = sys.argv[1], map(int, sys.argv[2:6])
torch.set_num_threads(2)
torch.manual_seed(0)
tokenizer = AutoTokenizer.from_pretrained(common.MODEL)
dtype = torch.bfloat16 if precision == "bf16" else torch.float32
model = AutoModelForCausalLM.from_pretrained(common.MODEL, dtype=dtype).eval()
words = tokenizer("Once upon a time there was a fox. " * (prompt + prompts), return_tensors="pt").input_ids[0]
rows = torch.stack([words[index : index + prompt] for index in range(prompts) for _ in range(samples)])
best = float("inf")
for run in range(RUNS + 1):
    start = time.perf_counter()
    with torch.no_grad():
        model.generate(
            rows, attention_mask=torch.ones_like(rows), max_new_tokens=tokens, min_new_tokens=tokens, do_sample=True,
            top_k=0, pad_token_id=0,
        )  # fmt: skip
    if run > 0:
        best = min(best, time.perf_counter() - start)
common.result(tokens_per_second=len(rows) * tokens / best, seconds=best)
