"""The row of ms_deform_attn."""

import torch
from op_cases import OpCase, normal


def make(batch, time, heads, size):
    places, sampling = 10, (batch, time, heads, 2, 3)  # queries are what grows with the time
    return [normal(batch, places, heads, size), torch.rand(*sampling, 2).double(), torch.rand(sampling).double()], []


CASE = OpCase(
    "ms_deform_attn",
    make,
    names=("value", "sampling_locations", "attention_weights"),
    fixed={"spatial_shapes": torch.tensor([[2, 3], [2, 2]]), "level_start_index": torch.tensor([0, 6])},
    full_precision=("sampling_locations", "attention_weights"),
    packs=False,
    free_sizes=(("value", 1), ("value", 3)),
    refused={
        "spatial_shapes": [torch.tensor([[h, w], [2, 2]]) for h, w in ((-2, -3), (3, 4), (2**40, 2**40), (11, 1))],
        "level_start_index": [torch.tensor(starts) for starts in ([-1, 6], [0, 7], [5, 6], [0, 2**62], [-(2**62), 6])],
    },
)
