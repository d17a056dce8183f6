"""The row of q_shift."""

from op_cases import OpCase, normal


def make(batch, time, heads, size):
    return [normal(batch, time, heads * size)], []


def grid(x):
    """One column: a height alone can be any number of tokens."""
    return {"height": x.shape[1], "width": 1}


CASE = OpCase("q_shift", make, names=("x",), fixed=grid, full_precision=("x",), packs=False)
