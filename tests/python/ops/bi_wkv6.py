"""The row of bi_wkv6."""

from op_cases import OpCase, normal


def make(batch, time, heads, size):
    r, k, v = (normal(batch, time, heads, size) for _ in range(3))
    return [r, k, v, normal(batch, time, heads, size, mean=-1.5), normal(heads, size)], []


CASE = OpCase(
    "bi_wkv6",
    make,
    names=("r", "k", "v", "w", "u"),
    full_precision=("w", "u"),
    packs=False,
    free_sizes=(("v", 3),),
)
