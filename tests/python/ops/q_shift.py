"""The row of q_shift."""

import math

from op_cases import OpCase, normal


def make(batch, time, heads, size):
    return [normal(batch, time, heads * size)], []


def grid(x):
    """One column: a height alone can be any number of tokens."""
    return {"height": x.shape[1], "width": 1}


CASE = OpCase(
    "q_shift",
    make,
    names=("x",),
    fixed=grid,
    full_precision=("x",),
    packs=False,
    free_sizes=(("x", 0), ("x", 2)),
    refused={
        "height": (-1, 0, 6, 2**31, 2**40, 2**62, -(2**62)),
        "width": (-1, 0, 2, 2**31, 2**40, 2**62, -(2**62)),
        "gamma": (-0.1, 0.6, math.inf, -math.inf, math.nan),
        "shift": (-1, -(2**40)),
        "head_size": (-1, 3, 2**40),
        "cls_tokens": (-1, 1, 2**40, 2**62),
    },
)
