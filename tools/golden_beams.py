#!/usr/bin/env python3
"""Makes crates/generate/tests/golden/beams.json: what beam search in transformers finds with the small random models of
crates/model/tests/golden (golden_models.py makes those).

Cases: the model's file, prompt, settings, and the best answers with their scores, best first. Several stop tokens make answers
of different lengths likely. transformers 5 has no groups of beams any more.

Needs: pip install torch transformers safetensors
Run:   python tools/golden_beams.py
"""

import json
from pathlib import Path

import torch
import transformers
from safetensors import safe_open

CRATES = Path(__file__).parent.parent / "crates"
MODELS, OUT = CRATES / "model/tests/golden", CRATES / "generate/tests/golden/beams.json"
STOP = [2, 5, 11, 17, 23, 29, 35, 40]
MAX_TOKENS = 12
SETTINGS = [
    (beams, length_penalty, early_stopping)
    for beams in (2, 4)
    for length_penalty in (0.0, 1.0, 2.5, -0.5)
    for early_stopping in (True, False, "never")
]


def load(family):
    with safe_open(MODELS / f"{family}.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
        weights = {name.removeprefix("weight/"): file.get_tensor(name) for name in file.keys() if name.startswith("weight/")}
        prompt = file.get_tensor("tokens").tolist()
    config = transformers.AutoConfig.for_model(**config)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    missing = model.load_state_dict(weights, strict=False).missing_keys
    assert all(config.tie_word_embeddings and name == "lm_head.weight" for name in missing), missing
    model.tie_weights()
    return model, prompt


def cases():
    for family in ("llama", "qwen3", "mistral"):
        model, prompt = load(family)
        for beams, length_penalty, early_stopping in SETTINGS:
            found = model.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
                num_beams=beams, num_return_sequences=beams, length_penalty=length_penalty, early_stopping=early_stopping,
                max_new_tokens=MAX_TOKENS, eos_token_id=STOP, pad_token_id=0, return_dict_in_generate=True,
                output_scores=True,
            )  # fmt: skip
            answers = []
            for row in found.sequences[:, len(prompt) :].tolist():
                end = next((place + 1 for place, token in enumerate(row) if token in STOP), len(row))
                answers.append(row[:end])
            yield {
                "family": family, "prompt": prompt, "beams": beams, "length_penalty": length_penalty,
                "early_stopping": early_stopping, "answers": answers, "scores": found.sequences_scores.tolist(),
            }  # fmt: skip


if __name__ == "__main__":
    OUT.parent.mkdir(exist_ok=True)
    recorded = {"stop_tokens": STOP, "max_tokens": MAX_TOKENS}
    lines = ",\n".join(json.dumps(case) for case in cases())
    OUT.write_text(json.dumps(recorded)[:-1] + ', "cases": [\n' + lines + "\n]}\n")
