"""The row of bi_wkv."""

from op_cases import OpCase, normal


def make(batch, time, heads, size):
    channels = heads * size
    w, u = normal(channels) / max(time, 1), normal(channels)  # models divide w by the number of tokens
    k, v = (normal(batch, time, channels) for _ in range(2))
    return [w, u, k, v], []


CASE = OpCase(
    "bi_wkv",
    make,
    names=("w", "u", "k", "v"),
    full_precision=("w", "u"),
    packs=False,
    refused={"compat_chunks": (-1, 1, 7, 15, 17, 64, 2**40)},
)
