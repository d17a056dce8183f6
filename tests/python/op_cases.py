"""The table of ops for test_ops.py: one row an op, the Python twin of tests/extension/op_cases.h."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import torch

LIBRARY_DIR = Path(os.environ.get("WKV_LIBRARY_DIR", Path(__file__).resolve().parents[2] / "build" / "lib"))
torch.ops.load_library(str(LIBRARY_DIR / "libwkv_ops.so"))


@dataclass(frozen=True)
class OpCase:
    name: str
    op: Callable
    # (batch, time, heads, size, dtype) -> the positional arguments without the state, and the state
    make: Callable
    # names of the arguments that autocast must leave alone
    full_precision: tuple[str, ...]
    names: tuple[str, ...]

    def __str__(self):
        return self.name

    def inputs(self, batch=2, time=5, heads=2, size=4, dtype=torch.float32, requires_grad=False, seed=0):
        torch.manual_seed(seed)
        arguments, state = self.make(batch, time, heads, size)
        state_dtype = torch.float64 if dtype == torch.float64 else torch.float32
        arguments = [x.to(dtype).requires_grad_(requires_grad) for x in arguments]
        return arguments, state.to(state_dtype).requires_grad_(requires_grad)


def make_wkv7(batch, time, heads, size):
    r, w, k, v, a, b = (torch.randn(batch, time, heads, size, dtype=torch.float64) * 0.5 for _ in range(6))
    a = torch.nn.functional.normalize(a, dim=-1)
    state = torch.randn(batch, heads, size, size, dtype=torch.float64)
    return [r, w - 1.5, k, v, -a, b], state


OP_CASES = [
    OpCase("wkv7", torch.ops.wkv.wkv7, make_wkv7, full_precision=("w",), names=("r", "w", "k", "v", "a", "b")),
]
