"""The row of wkv7."""

import torch
from op_cases import OpCase, normal


def make(batch, time, heads, size):
    r, w, k, v, a, b = (normal(batch, time, heads, size) for _ in range(6))
    a = torch.nn.functional.normalize(a, dim=-1)
    return [r, w - 1.5, k, v, -a, b], [normal(batch, heads, size, size, scale=1)]


CASE = OpCase(
    "wkv7",
    make,
    names=("r", "w", "k", "v", "a", "b"),
    states=("state",),
    full_precision=("w",),
)
