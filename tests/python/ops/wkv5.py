"""The row of wkv5."""

from op_cases import OpCase, normal


def make(batch, time, heads, size):
    r, k, v = (normal(batch, time, heads, size) for _ in range(3))
    w, u = normal(heads, size, mean=-1.5), normal(heads, size)
    return [r, k, v, w, u], [normal(batch, heads, size, size, scale=1)]


CASE = OpCase(
    "wkv5", make, names=("r", "k", "v", "w", "u"), states=("state",), full_precision=("w", "u")
)
