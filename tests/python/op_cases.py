"""The table of ops for the tests: one row an op, each a file of the folder ops/; the Python twin of
tests/extension/op_cases.h. Importing it registers the ops: in C++, or with WKV_REGISTRATION=python as for another
PyTorch than the libraries were built for. WKV_TEST_DEVICE=cuda makes every input a CUDA tensor; with cuda-on-host they are
on the CPU, and the CUDA kernels run there too (tests/cuda_on_host)."""

import importlib.util
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import torch

ROOT = Path(__file__).resolve().parents[2]
LIBRARY_DIR = Path(os.environ.get("WKV_LIBRARY_DIR", ROOT / "build" / "lib"))
IN_PYTHON = os.environ.get("WKV_REGISTRATION") == "python"
CUDA_ON_HOST = os.environ.get("WKV_TEST_DEVICE") == "cuda-on-host"
DEVICE = "cpu" if CUDA_ON_HOST else os.environ.get("WKV_TEST_DEVICE", "cpu")


def _register():
    if IN_PYTHON:
        torch.ops.load_library(LIBRARY_DIR / "libwkv_kernels.so")
        python_registration().register()
    else:
        torch.ops.load_library(LIBRARY_DIR / "libwkv_ops.so")
    if CUDA_ON_HOST:
        torch.ops.load_library(LIBRARY_DIR / "libwkv_cuda_on_host.so")


def python_registration():
    return load_module("wkv_register", ROOT / "zoo/python/wkv/_register.py")


def load_module(name, path):
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class OpCase:
    name: str
    # (batch, time, heads, size) -> the floating-point arguments and the states, float64
    make: Callable
    names: tuple[str, ...]  # of the floating-point arguments, as the schema has them
    states: tuple[str, ...] = ()  # of the states: keyword arguments; none, where a sequence can't be cut
    # The other arguments that need a value; a function of the floating-point arguments where they follow from the time.
    fixed: dict | Callable = field(default_factory=dict)
    full_precision: tuple[str, ...] = ()  # the arguments that autocast leaves alone, as it does fp32 states
    packs: bool = True  # takes cu_seqlens
    states_have_io_dtype: bool = False
    free_sizes: tuple[tuple[str, int], ...] = ()  # (argument, dimension): those that no other argument has too
    refused: dict = field(default_factory=dict)  # values of the other arguments that are errors

    def __str__(self):
        return self.name

    @property
    def any_time(self):
        """One graph serves every time: no number that is a part of it follows from the time."""
        return isinstance(self.fixed, dict)

    @property
    def overload(self):
        return getattr(torch.ops.wkv, self.name).default

    def keywords(self, tensors):
        """All arguments of a call by name: `tensors` are the arguments and then the states, or without states."""
        count = len(self.names)
        fixed = self.fixed if isinstance(self.fixed, dict) else self.fixed(*tensors[:count])
        fixed = {name: x.to(tensors[0].device) if isinstance(x, torch.Tensor) else x for name, x in fixed.items()}
        return dict(zip(self.names, tensors[:count], strict=True)) | dict(zip(self.states, tensors[count:])) | fixed

    def op(self, *tensors, **options):
        """The call; its outputs as a tuple."""
        outputs = getattr(torch.ops.wkv, self.name)(**self.keywords(tensors), **options)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def inputs(self, batch=2, time=5, heads=2, size=4, dtype=torch.float32, requires_grad=False, seed=0):
        torch.manual_seed(seed)
        arguments, states = self.make(batch, time, heads, size)
        arguments = [x.to(DEVICE, dtype).requires_grad_(requires_grad) for x in arguments]
        state_dtype = dtype if self.states_have_io_dtype or dtype == torch.float64 else torch.float32
        return arguments, [x.to(DEVICE, state_dtype).requires_grad_(requires_grad) for x in states]

    def all_inputs(self, **options):
        arguments, states = self.inputs(**options)
        return [*arguments, *states]

    def dimensions(self, size):
        """Of each argument and then each state, the dimension that is the "batch" or the "time"; None: it has none."""
        few, many = (self.all_inputs(**{size: n}) for n in (2, 3))
        return [next((i for i in range(x.ndim) if x.shape[i] != y.shape[i]), None) for x, y in zip(few, many)]


def normal(*shape, scale=0.5, mean=0.0):
    return torch.randn(*shape, dtype=torch.float64) * scale + mean


def _rows():
    sys.modules.setdefault("op_cases", sys.modules[__name__])
    for path in sorted((Path(__file__).parent / "ops").glob("*.py")):
        yield load_module(f"op_case_{path.stem}", path).CASE


_register()
OP_CASES = list(_rows())
