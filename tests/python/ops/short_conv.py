"""The row of short_conv."""

from op_cases import OpCase, normal


def make(batch, time, heads, size):
    channels, kernel_size = heads * size, 3
    arguments = [normal(batch, time, channels), normal(channels, 1, kernel_size), normal(channels)]
    return arguments, [normal(batch, channels, kernel_size)]


CASE = OpCase(
    "short_conv",
    make,
    names=("x", "weight", "bias"),
    states=("state",),
    fixed={"silu": True},
    full_precision=("weight", "bias"),
    free_sizes=(("x", 1),),
)
