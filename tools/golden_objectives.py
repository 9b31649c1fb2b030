"""Records what TRL's own loss functions give: crates/objectives/tests/golden/trl.json.

    tools/peers/setup.sh
    ~/.cache/camelid-peers/venv/bin/python tools/golden_objectives.py

Each case calls the trainer's method on a stand-in for the trainer, with a model that returns fixed log-probabilities, and
records the loss (the mean over the pairs) and its derivative with respect to each of them, in f64 where TRL can.
"""

import json
import pathlib
import types
from collections import defaultdict

import torch
import trl
from trl.experimental.cpo.cpo_trainer import CPOTrainer
from trl.experimental.orpo.orpo_trainer import ORPOTrainer
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.reward_trainer import RewardTrainer

torch.set_default_dtype(torch.float64)
# Three pairs: log-probabilities of the response's tokens and the reference's sum, chosen then rejected.
CHOSEN = [[-0.5, -1.25, -0.125], [-2.0, -0.75], [-0.0625, -0.5, -1.5, -0.25]]
REJECTED = [[-0.75, -0.25], [-1.0, -3.0, -0.5, -0.125], [-2.5]]
REFERENCE_CHOSEN = [-2.0, -2.5, -3.25]
REFERENCE_REJECTED = [-1.5, -4.0, -2.75]
# Of KTO: log-probabilities of mismatched responses, and the reference's.
MISMATCHED, REFERENCE_MISMATCHED = [-3.0, -4.0, -2.0, -5.0, -1.0, -6.0], [-3.5, -4.25, -2.25, -5.5, -1.0, -6.75]


def padded(rows):
    """`[rows, longest]` values and the mask of those that are real."""
    longest = max(map(len, rows))
    values = torch.tensor([row + [0.0] * (longest - len(row)) for row in rows])
    return values, torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])


def rows_of(gradient, rows):
    return [line[: len(row)].tolist() for line, row in zip(gradient, rows)]


def trainer(**settings):
    """What the trainers' methods look up on `self`."""
    accelerator = types.SimpleNamespace(
        device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x, unwrap_model=lambda model: model
    )
    defaults = dict(
        accelerator=accelerator, model=types.SimpleNamespace(training=True), aux_loss_enabled=False, ld_alpha=None,
        precompute_ref_logps=True, f_divergence_type="reverse_kl", f_alpha_divergence_coef=0.5, beta=0.1,
        label_smoothing=0.0, loss_types=["sigmoid"], loss_weights=[1.0], use_weighting=False,
        _metrics={"train": defaultdict(list)}, _total_train_tokens=0, _tp_size=1, calculate_KL=True,
        desirable_weight=1.0, undesirable_weight=1.0, loss_type="sigmoid", simpo_gamma=0.5, alpha=0.0,
        args=types.SimpleNamespace(discopop_tau=0.05, center_rewards_coefficient=None),
    )  # fmt: skip
    return types.SimpleNamespace(**{**defaults, **settings})


def outputs(log_probs):
    zeros = torch.zeros_like(log_probs)
    return types.SimpleNamespace(log_probs=log_probs, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())


def batch(mask, **more):
    """Inputs in which a first, unlearned token stands before the responses."""
    completion_mask = torch.cat([torch.zeros(len(mask), 1, dtype=mask.dtype), mask], dim=1)
    ids = torch.zeros_like(completion_mask)
    return dict(input_ids=ids, attention_mask=torch.ones_like(ids), completion_mask=completion_mask, **more)


def dpo(dtype=torch.float64, **settings):
    values, mask = padded(CHOSEN + REJECTED)
    values = values.to(dtype).requires_grad_(True)
    chosen, rejected = torch.tensor(REFERENCE_CHOSEN, dtype=dtype), torch.tensor(REFERENCE_REJECTED, dtype=dtype)
    inputs = batch(mask, ref_chosen_logps=chosen, ref_rejected_logps=rejected)
    stand_in = trainer(**settings)
    loss = DPOTrainer._compute_loss(stand_in, lambda **_: outputs(values * mask), inputs, False)
    loss.backward()
    metrics = {name: figures[0] for name, figures in stand_in._metrics["train"].items() if "/" in name}
    return {
        "loss": loss.item(), "slopes": rows_of(values.grad, CHOSEN + REJECTED),
        "rewards/chosen": metrics["rewards/chosen"], "rewards/rejected": metrics["rewards/rejected"],
        "rewards/accuracies": metrics["rewards/accuracies"],
    }  # fmt: skip


def without_reference(method, average, sft_weight, **settings):
    """CPO, SimPO and ORPO: the contrast from the trainer's method, the likelihood term as the trainer adds it."""
    values, mask = padded(CHOSEN + REJECTED)
    values.requires_grad_(True)
    sums = (values * mask).sum(1)
    log_probs = sums / mask.sum(1) if average else sums
    chosen, rejected = log_probs.chunk(2)
    stand_in = trainer(**settings)
    if method == "orpo":
        loss = -ORPOTrainer.odds_ratio_loss(stand_in, chosen.double(), rejected.double())[0].mean()
    else:
        loss = CPOTrainer.cpo_loss(stand_in, chosen, rejected)[0].mean()
    # Per response, so that its place in the batch does not matter; the trainer takes the mean over the batch's tokens.
    loss = loss - sft_weight * (sums / mask.sum(1)).chunk(2)[0].mean()
    loss.backward()
    return {"loss": loss.item(), "slopes": rows_of(values.grad, CHOSEN + REJECTED)}


def kto(**settings):
    values, mask = padded(CHOSEN + REJECTED)
    values.requires_grad_(True)
    inputs = batch(
        mask, label=torch.tensor([True] * 3 + [False] * 3),
        ref_logps=torch.tensor(REFERENCE_CHOSEN + REFERENCE_REJECTED), ref_KL_logps=torch.tensor(REFERENCE_MISMATCHED),
    )  # fmt: skip
    stand_in = trainer(loss_type="kto", _compute_kl_logps=lambda model, batch: torch.tensor(MISMATCHED), **settings)
    loss = KTOTrainer._compute_loss(stand_in, lambda **_: outputs(values * mask), inputs, False)
    loss.backward()
    return {"loss": loss.item(), "slopes": rows_of(values.grad, CHOSEN + REJECTED), "kl": stand_in._metrics["train"]["kl"][0]}


REWARDS, MARGINS = [1.5, -0.25, 0.75, 0.5, 0.25, -1.0], [0.5, 0.0, 1.0]


def reward(margin, centring):
    values = torch.tensor(REWARDS, requires_grad=True)
    inputs = {"attention_mask": torch.ones(6, 2), **({"margin": torch.tensor(MARGINS)} if margin else {})}
    stand_in = trainer(args=types.SimpleNamespace(center_rewards_coefficient=centring))
    model = lambda **_: types.SimpleNamespace(logits=values.unsqueeze(-1))
    loss = RewardTrainer.compute_loss(stand_in, model, inputs)
    loss.backward()
    return {"loss": loss.item(), "slopes": values.grad.tolist(), "accuracy": stand_in._metrics["train"]["accuracy"][0]}


def main():
    f_dpo = lambda kind, **more: dpo(f_divergence_type=kind, beta=0.4, **more)
    cases = {
        "dpo": dpo(),
        "dpo beta 0.5": dpo(beta=0.5),
        "dpo length-normalised": dpo(loss_types=["sigmoid_norm"], beta=5.0),
        "robust-dpo": dpo(loss_types=["robust"], label_smoothing=0.1),
        "ipo length-normalised": dpo(loss_types=["ipo"]),
        "rso-hinge-norm": dpo(loss_types=["hinge"], beta=0.05),
        "exo": dpo(loss_types=["exo_pair"], label_smoothing=0.001),
        "nca": dpo(loss_types=["nca_pair"]),
        "sppo": dpo(loss_types=["sppo_hard"]),
        "apo-zero": dpo(loss_types=["apo_zero"]),
        "apo-down": dpo(loss_types=["apo_down"]),
        "discopop": dpo(loss_types=["discopop"], beta=0.05),
        "f-dpo-forward-kl": f_dpo("forward_kl"),
        "f-dpo-jensen-shannon": f_dpo("js_divergence"),
        # TRL's coefficient is 1 - α, and it computes this one in f32 only.
        "f-dpo-alpha 0.3": f_dpo("alpha_divergence", f_alpha_divergence_coef=0.7, dtype=torch.float32),
        "cpo": without_reference("cpo", False, 1.0, loss_type="sigmoid"),
        "simpo": without_reference("cpo", True, 0.0, loss_type="simpo", beta=2.0, simpo_gamma=0.5),
        "orpo": without_reference("orpo", True, 1.0, beta=0.1),
        "kto": kto(beta=0.1),
        "kto weighted": kto(beta=0.5, desirable_weight=1.0, undesirable_weight=1.5),
        "bradley-terry": reward(False, None),
        "bradley-terry margin and centring": reward(True, 0.01),
    }
    golden = {
        "trl": trl.__version__, "torch": torch.__version__.split("+")[0], "chosen": CHOSEN, "rejected": REJECTED,
        "reference_chosen": REFERENCE_CHOSEN, "reference_rejected": REFERENCE_REJECTED, "mismatched": MISMATCHED,
        "reference_mismatched": REFERENCE_MISMATCHED, "rewards": REWARDS, "margins": MARGINS, "cases": cases,
    }  # fmt: skip
    path = pathlib.Path(__file__).parent.parent / "crates/objectives/tests/golden/trl.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(f"{path}: {len(cases)} cases")


main()
