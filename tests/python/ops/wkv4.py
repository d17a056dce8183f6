"""The row of wkv4."""

import torch
from op_cases import OpCase, normal


def make(batch, time, heads, size):
    channels = heads * size
    w, u = normal(channels, mean=-1.0), normal(channels)
    k, v = (normal(batch, time, channels) for _ in range(2))
    aa, bb, pp = (normal(batch, channels, scale=1) for _ in range(3))
    return [w, u, k, v], [torch.stack([aa, bb.abs() + 0.1, pp], 1)]


CASE = OpCase(
    "wkv4",
    make,
    names=("w", "u", "k", "v"),
    states=("state",),
    full_precision=("w", "u"),
)
