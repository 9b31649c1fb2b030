"""Records what TRL's own policy losses give: crates/objectives/tests/golden/trl_reinforcement.json.

    tools/peers/setup.sh
    ~/.cache/camelid-peers/venv/bin/python tools/golden_reinforcement.py

Each case calls the trainer's method on a stand-in for the trainer, whose log-probabilities are fixed, and records the loss,
its derivative with respect to each of them (and each entropy), and the metrics.
"""

import json
import pathlib
import types
from collections import defaultdict

import torch
import trl
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_trainer import RLOOTrainer

torch.set_default_dtype(torch.float64)
# Three responses. All are sums of powers of 2, so that they are the same in f32.
LOG_PROBS = [[-0.5, -1.25, -0.125], [-2.0, -0.75], [-0.0625, -0.5, -1.5, -0.25]]
OLD = [[-0.75, -0.75, -0.1875], [-2.03125, -0.5], [-0.875, -0.5, -1.25, -0.3125]]
REFERENCE = [[-0.625, -1.0, -0.25], [-1.5, -0.8125], [-0.125, -1.5, -1.5, -0.3125]]
ENTROPIES = [[0.5, 1.25, 0.25], [1.5, 0.75], [0.125, 0.5, 2.0, 0.375]]
ADVANTAGES = [1.5, -0.75, -1.25]
LONGEST = 16


def padded(rows):
    longest = max(map(len, rows))
    return torch.tensor([row + [0.0] * (longest - len(row)) for row in rows])


MASK = torch.tensor([[1] * len(row) + [0] * (4 - len(row)) for row in LOG_PROBS])


def stand_in(log_probs, entropies, **settings):
    accelerator = types.SimpleNamespace(
        gather=lambda x: x, reduce=lambda x, reduction: x, num_processes=1, sync_gradients=True
    )
    defaults = dict(
        accelerator=accelerator, model=types.SimpleNamespace(training=True), aux_loss_enabled=False, use_vllm=False,
        top_entropy_quantile=1.0, off_policy_mask_threshold=None, importance_sampling_level="token", beta=0.0,
        epsilon_low=0.2, epsilon_high=0.2, loss_type="dapo", current_gradient_accumulation_steps=1,
        max_completion_length=LONGEST, _entropy_bonus_enabled=False, use_adaptive_entropy=False, entropy_coef=0.0,
        _metrics={"train": defaultdict(list)}, delta=None, use_bias_correction_kl=False, steps_per_generation=1,
        _get_per_token_logps_and_entropies=lambda *_, **__: (log_probs, entropies, None),
    )  # fmt: skip
    settings = {**defaults, **settings}
    return types.SimpleNamespace(args=types.SimpleNamespace(**settings), **settings)


def case(trainer=GRPOTrainer, **settings):
    log_probs, entropies = padded(LOG_PROBS).requires_grad_(True), padded(ENTROPIES).requires_grad_(True)
    inputs = dict(
        prompt_ids=torch.zeros(3, 1, dtype=torch.long), prompt_mask=torch.ones(3, 1, dtype=torch.long),
        completion_ids=torch.zeros(3, 4, dtype=torch.long), completion_mask=MASK, advantages=torch.tensor(ADVANTAGES),
        old_per_token_logps=padded(OLD), ref_per_token_logps=padded(REFERENCE), num_items_in_batch=MASK.sum(),
        old_logps=(padded(OLD) * MASK).sum(1),
    )  # fmt: skip
    this = stand_in(log_probs, entropies, **settings)
    loss = trainer._compute_loss(this, None, inputs)
    loss.backward()
    of = lambda values: [line[: len(row)].tolist() for line, row in zip(values, LOG_PROBS)]
    recorded = {"loss": loss.item(), "slopes": of(log_probs.grad)}
    if entropies.grad is not None:
        recorded["entropy_slopes"] = of(entropies.grad)
    kept = ("kl", "entropy", "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean")
    metrics = {name: figures[0] for name, figures in this._metrics["train"].items() if name in kept}
    return {**recorded, "metrics": metrics}


def main():
    cases = {
        "dapo": case(epsilon_high=0.28),
        "dapo with entropy": case(epsilon_high=0.28, _entropy_bonus_enabled=True, entropy_coef=0.125),
        "dapo with dual clip": case(delta=1.25),
        "grpo": case(loss_type="grpo", beta=0.04),
        "grpo with weighted kl": case(loss_type="grpo", beta=0.04, use_bias_correction_kl=True),
        "dr_grpo": case(loss_type="dr_grpo"),
        "gspo": case(loss_type="grpo", importance_sampling_level="sequence", epsilon_low=0.05, epsilon_high=0.1),
        "rloo": case(RLOOTrainer),
    }
    golden = {
        "trl": trl.__version__, "torch": torch.__version__.split("+")[0], "log_probs": LOG_PROBS, "old_log_probs": OLD,
        "reference": REFERENCE, "entropies": ENTROPIES, "advantages": ADVANTAGES, "longest": LONGEST, "cases": cases,
    }  # fmt: skip
    path = pathlib.Path(__file__).parent.parent / "crates/objectives/tests/golden/trl_reinforcement.json"
    path.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(f"{path}: {len(cases)} cases")


main()
