"""The table of ops for test_ops.py: one row an op, each a file of the folder ops/; the Python twin of
tests/extension/op_cases.h."""

import importlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import torch

LIBRARY_DIR = Path(os.environ.get("WKV_LIBRARY_DIR", Path(__file__).resolve().parents[2] / "build" / "lib"))
torch.ops.load_library(str(LIBRARY_DIR / "libwkv_ops.so"))


@dataclass(frozen=True)
class OpCase:
    name: str
    # (batch, time, heads, size) -> the floating-point arguments and the states, float64
    make: Callable
    names: tuple[str, ...]  # of the floating-point arguments, as the schema has them
    states: tuple[str, ...] = ()  # of the states: keyword arguments; none, where a sequence can't be cut
    fixed: dict = field(default_factory=dict)  # the other arguments
    full_precision: tuple[str, ...] = ()  # what autocast leaves alone
    not_in_states: tuple[str, ...] = ()  # the arguments that do not reach the states after
    packs: bool = True  # takes cu_seqlens
    states_have_io_dtype: bool = False

    def __str__(self):
        return self.name

    def op(self, *tensors, **options):
        """The call, for the arguments and then the states, or without states; the outputs as a tuple."""
        count = len(self.names)
        given = dict(zip(self.names, tensors[:count], strict=True)) | dict(zip(self.states, tensors[count:]))
        outputs = getattr(torch.ops.wkv, self.name)(**given, **self.fixed, **options)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def inputs(self, batch=2, time=5, heads=2, size=4, dtype=torch.float32, requires_grad=False, seed=0):
        torch.manual_seed(seed)
        arguments, states = self.make(batch, time, heads, size)
        if not self.states_have_io_dtype:
            states = [x.to(torch.float64 if dtype == torch.float64 else torch.float32) for x in states]
        else:
            states = [x.to(dtype) for x in states]
        arguments = [x.to(dtype) for x in arguments]
        return ([x.requires_grad_(requires_grad) for x in group] for group in (arguments, states))


def normal(*shape, scale=0.5, mean=0.0):
    return torch.randn(*shape, dtype=torch.float64) * scale + mean


def _rows():
    for path in sorted((Path(__file__).parent / "ops").glob("*.py")):
        specification = importlib.util.spec_from_file_location(f"op_case_{path.stem}", path)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        yield module.CASE


OP_CASES = list(_rows())
