#!/usr/bin/env python3
"""wkv6 and wkv7 against the ops of the same name in ggml, the library inside of llama.cpp, called directly.

bench_ggml.py [--library build/lib/libwkv_ops.so] [--threads 2] [--rounds 15] [--time 1024]

Needs the package llama-cpp-python, whose ggml libraries it opens. fp32, B4 H12 N64, zero initial state. ggml's result is
compared with libwkv's before anything is timed.
"""

import argparse
from pathlib import Path

import benchlib
import ggml
import torch

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--library", default=Path(__file__).resolve().parents[2] / "build/lib/libwkv_ops.so", type=Path)
parser.add_argument("--threads", default=2, type=int)
parser.add_argument("--rounds", default=15, type=int)
parser.add_argument("--time", default=1024, type=int)
options = parser.parse_args()
if not ggml.available():
    raise SystemExit("bench_ggml.py needs the package llama-cpp-python")
torch.ops.load_library(str(options.library))
torch.set_num_threads(options.threads)
torch.manual_seed(0)

B, T, H, N = 4, options.time, 12, 64
r, k, v = (torch.randn(B, T, H, N) * 0.3 for _ in range(3))
w = torch.randn(B, T, H, N) * 0.5 - 2
unit = torch.nn.functional.normalize(torch.randn(B, T, H, N), dim=-1)
inputs = {"wkv6": (r, k, v, w, torch.randn(H, N) * 0.3), "wkv7": (r, w, k, v, -unit, unit * 0.5)}

for name, x in inputs.items():
    ours = getattr(torch.ops.wkv, name)
    peer = ggml.GgmlOp(name, *x, threads=options.threads)
    expected = ours(*x)[0]
    error = (peer.results()[0] - expected).abs().max() / expected.abs().max()
    if not error < 1e-4:
        raise SystemExit(f"ggml's {name} differs by {error:.1e} of the largest: nothing was timed")
    results = benchlib.measure({"libwkv": lambda: ours(*x), "ggml": peer}, options.rounds, options.threads)
    benchlib.report(f"{name} forward, B{B} T{T} H{H} N{N}, {options.threads} threads, {torch.ops.wkv._cpu_isa()}", results, "libwkv")
