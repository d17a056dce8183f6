"""The row of q_shift."""

from op_cases import OpCase, normal


def make(batch, time, heads, size):
    return [normal(batch, time, heads * size)], []


def grid(x):
    """Rows of two; a class token where the time is odd."""
    return {"height": x.shape[1] // 2, "width": 2, "cls_tokens": x.shape[1] % 2}


CASE = OpCase("q_shift", make, names=("x",), fixed=grid, full_precision=("x",), packs=False)
