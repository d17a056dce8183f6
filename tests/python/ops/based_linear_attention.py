"""The row of based_linear_attention."""

import torch
from op_cases import OpCase, normal


def features(x):
    squares = (x[..., :, None] * x[..., None, :]).flatten(-2) / (2 * x.shape[-1]) ** 0.5
    return torch.cat([torch.ones_like(x[..., :1]), x / x.shape[-1] ** 0.25, squares], -1)


def make(batch, time, heads, size):
    q, k, v = (normal(batch, time, heads, size) for _ in range(3))
    past = features(normal(batch, heads, 2, size))  # a state of two keys: no normaliser comes near 0
    return [q, k, v], [normal(batch, heads, size, past.shape[-1]), past.sum(-2)]


CASE = OpCase(
    "based_linear_attention",
    make,
    names=("q", "k", "v"),
    states=("kv_state", "k_state"),
)
