"""GFLOP/s of PyTorch's matrix products in the three forms a linear layer needs."""

import time

import common
import torch

torch.set_num_threads(2)
SHAPES = [(1024, 576, 1536), (1024, 576, 49152), (2048, 2048, 2048)]  # rows, input, output


def rate(flops, product):
    repeats = max(1, int(3e10 / flops))
    times = []
    for _ in range(9):
        start = time.perf_counter()
        for _ in range(repeats):
            product()
        times.append((time.perf_counter() - start) / repeats)
    return flops / common.median(times[2:]) / 1e9


rates = {}
for name, dtype in [("f32", torch.float32), ("bf16", torch.bfloat16)]:
    for rows, inputs, outputs in SHAPES:
        x = torch.randn(rows, inputs).to(dtype)
        weight = torch.randn(outputs, inputs).to(dtype)
        dy = torch.randn(rows, outputs).to(dtype)
        forms = {
            "forward": lambda: torch.nn.functional.linear(x, weight),
            "input_gradient": lambda: dy @ weight,
            "weight_gradient": lambda: dy.T @ x,
        }
        for form, product in forms.items():
            flops = 2 * rows * inputs * outputs
            rates[f"{name} {form} {rows}x{inputs}x{outputs}"] = rate(flops, product)
common.result(rates=rates)
