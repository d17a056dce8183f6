"""The row of sliding_window_attention."""

import torch
from op_cases import OpCase, normal

KEYS_BACK = 2


def make(batch, time, heads, size):
    past = [normal(batch, KEYS_BACK + 1, heads, size) for _ in range(2)]
    return [normal(batch, time, heads, size) for _ in range(3)], past


CASE = OpCase(
    "sliding_window_attention",
    make,
    names=("q", "k", "v"),
    states=("past_k", "past_v"),
    fixed={"keys_back": KEYS_BACK},
    states_have_io_dtype=True,
    refused={
        "keys_back": (-1, -(2**62), 2**40, 2**62),
        "past_length": [torch.tensor(x) for x in ([KEYS_BACK + 2, 0], [-1, 0], [0, 2**40], [0], [[0, 0]], [0.0, 0.0])],
    },
)
