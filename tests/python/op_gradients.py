"""Outputs and gradients of every op of the table, in fp32, bf16 and fp64, without and with states, whole and packed.

    WKV_REGISTRATION=python python op_gradients.py FILE [SIZE]    # what another registration, or another PyTorch, gives
"""

import sys

import torch
from op_cases import OP_CASES
from op_checks import gradients


def all_gradients(size=4):
    found = {}
    for case in OP_CASES:
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            arguments, states = case.inputs(time=19, size=size, dtype=dtype, requires_grad=True)
            calls = {"": (arguments, {})}
            if states:
                calls["with states"] = ([*arguments, *states], {})
            if case.packs:
                arguments, _ = case.inputs(batch=1, time=19, size=size, dtype=dtype, requires_grad=True)
                calls["packed"] = (arguments, {"cu_seqlens": torch.tensor([0, 7, 7, 19])})
            for kind, (inputs, options) in calls.items():
                outputs = [x.detach() for x in case.op(*inputs, **options)]
                found[f"{case} {dtype} {kind}"] = outputs + [*gradients(lambda *x: case.op(*x, **options), inputs)]
    return found


if __name__ == "__main__":
    torch.save(all_gradients(*map(int, sys.argv[2:])), sys.argv[1])
