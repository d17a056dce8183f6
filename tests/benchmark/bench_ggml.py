#!/usr/bin/env python3
"""wkv7 against the op of the same name in ggml, the library inside llama.cpp, called directly.

bench_ggml.py [--library build/lib/libwkv_ops.so] [--threads 2] [--rounds 15] [--time 1024]

Needs the package llama-cpp-python, whose ggml libraries it opens. fp32, B4 H12 N64, zero initial state. ggml's result is
checked against a float64 loop before anything is timed.
"""

import argparse
import ctypes
import importlib.util
from ctypes import POINTER, c_bool, c_float, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import benchlib
import torch

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--library", default=Path(__file__).resolve().parents[2] / "build/lib/libwkv_ops.so", type=Path)
parser.add_argument("--threads", default=2, type=int)
parser.add_argument("--rounds", default=15, type=int)
parser.add_argument("--time", default=1024, type=int)
options = parser.parse_args()
B, T, H, N = 4, options.time, 12, 64
GGML_TYPE_F32 = 0


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool)]


def open_ggml():
    """libggml-base and libggml-cpu of the package, with the types of the functions used here."""
    specification = importlib.util.find_spec("llama_cpp")
    if specification is None:
        raise SystemExit("bench_ggml.py needs the package llama-cpp-python")
    folder = Path(specification.origin).parent / "lib"
    base, cpu = (ctypes.CDLL(str(min(folder.glob(f"{stem}*.so*"))), mode=ctypes.RTLD_GLOBAL) for stem in ("libggml-base", "libggml-cpu"))
    signatures = {
        "ggml_init": [InitParams],
        "ggml_new_tensor_2d": [c_void_p, c_int, c_int64, c_int64],
        "ggml_new_tensor_3d": [c_void_p, c_int, c_int64, c_int64, c_int64],
        "ggml_get_data": [c_void_p],
        "ggml_rwkv_wkv7": [c_void_p] * 8,
        "ggml_new_graph": [c_void_p],
        "ggml_build_forward_expand": [c_void_p, c_void_p],
    }
    for name, types in signatures.items():
        getattr(base, name).argtypes, getattr(base, name).restype = types, c_void_p
    cpu.ggml_graph_compute_with_ctx.argtypes = [c_void_p, c_void_p, c_int]
    cpu.ggml_cpu_init()
    return base, cpu


class GgmlWkv7:
    """One graph of one op; takes the decay factor, not the raw decay."""

    def __init__(self, r, w, k, v, a, b):
        self.base, self.cpu = open_ggml()
        self.context = self.base.ggml_init(InitParams(1 << 30, None, False))
        rows = [self.put(x) for x in (r, torch.exp(-torch.exp(w)), k, v, a, b)]
        self.out = self.base.ggml_rwkv_wkv7(self.context, *rows, self.put(torch.zeros(B, N * N * H)))
        self.graph = self.base.ggml_new_graph(self.context)
        self.base.ggml_build_forward_expand(self.graph, self.out)

    def put(self, x):
        x = x.reshape(B * T, H, N) if x.dim() == 4 else x
        create = self.base.ggml_new_tensor_3d if x.dim() == 3 else self.base.ggml_new_tensor_2d
        tensor = create(self.context, GGML_TYPE_F32, *reversed(x.shape))
        ctypes.memmove(self.base.ggml_get_data(tensor), x.contiguous().data_ptr(), x.numel() * 4)
        return tensor

    def __call__(self):
        self.cpu.ggml_graph_compute_with_ctx(self.context, self.graph, options.threads)

    def result(self):
        data = ctypes.cast(self.base.ggml_get_data(self.out), POINTER(c_float * (B * T * H * N)))
        return torch.frombuffer(data.contents, dtype=torch.float32).view(B, T, H, N)


def reference(r, w, k, v, a, b):
    state, out = torch.zeros(r.shape[0], H, N, N, dtype=torch.float64), []
    r, w, k, v, a, b = (x.double() for x in (r, w, k, v, a, b))
    for t in range(r.shape[1]):
        removed = (state * a[:, t, :, None]).sum(-1, keepdim=True)
        state = state * torch.exp(-torch.exp(w[:, t, :, None])) + removed * b[:, t, :, None] + v[:, t, ..., None] * k[:, t, :, None]
        out.append((state * r[:, t, :, None]).sum(-1))
    return torch.stack(out, 1)


torch.ops.load_library(str(options.library))
torch.set_num_threads(options.threads)
torch.manual_seed(0)
r, k, v = (torch.randn(B, T, H, N) * 0.3 for _ in range(3))
w = torch.randn(B, T, H, N) * 0.5 - 2
unit = torch.nn.functional.normalize(torch.randn(B, T, H, N), dim=-1)
x = (r, w, k, v, -unit, unit * 0.5)

ggml = GgmlWkv7(*x)
ggml()
expected = reference(*(t[:1] for t in x))
error = (ggml.result()[:1] - expected).abs().max() / expected.abs().max()
if error > 1e-4:
    raise SystemExit(f"ggml differs from the reference by {error:.1e}: nothing was timed")
results = benchlib.measure({"libwkv": lambda: torch.ops.wkv.wkv7(*x), "ggml": ggml}, options.rounds, options.threads)
benchlib.report(f"wkv7 forward, B{B} T{T} H{H} N{N}, {options.threads} threads, {torch.ops.wkv._cpu_isa()}", results, "libwkv")
