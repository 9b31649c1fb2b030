"""One training step of PyTorch on 4 x 256 real tokens without padding, all of them targets.

usage: torch_step.py full|lora f32|autocast|bf16 TEXT_FILE
"""

import contextlib
import sys
import time

import common
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

SEQUENCES, LENGTH, WARM_UP, STEPS = 4, 256, 2, 7
mode, precision, text_file = sys.argv[1:4]
torch.set_num_threads(2)
torch.manual_seed(0)
tokenizer = AutoTokenizer.from_pretrained(common.MODEL)
model = AutoModelForCausalLM.from_pretrained(
    common.MODEL, dtype=torch.bfloat16 if precision == "bf16" else torch.float32
)
model.config.use_cache = False
if mode == "lora":
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    )
model.train()
trained = [p for p in model.parameters() if p.requires_grad]
optimiser = torch.optim.AdamW(trained, lr=1e-5, fused=True)
autocast = torch.autocast("cpu", dtype=torch.bfloat16) if precision == "autocast" else contextlib.nullcontext()

ids = torch.tensor(tokenizer(open(text_file).read())["input_ids"])
tokens = SEQUENCES * LENGTH
seconds = []
for step in range(WARM_UP + STEPS):
    start_of_batch = step * tokens % (len(ids) - tokens)
    batch = ids[start_of_batch : start_of_batch + tokens].view(SEQUENCES, LENGTH)
    start = time.perf_counter()
    with autocast:
        loss = model(input_ids=batch, attention_mask=torch.ones_like(batch), labels=batch).loss
    loss.backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    seconds.append(time.perf_counter() - start)
common.result(tokens_per_second=tokens / common.median(seconds[WARM_UP:]), loss=loss.item())
