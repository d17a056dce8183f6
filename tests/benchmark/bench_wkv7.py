#!/usr/bin/env python3
"""wkv7 against what Python packages do on a CPU: a loop of small tensor operations over the tokens.

bench_wkv7.py [--library build/lib/libwkv_ops.so] [--threads 2] [--rounds 9] [--time 1024]

Each case is checked against a float64 loop before it is timed. fp32, B4 H12 N64, no state.
"""

import argparse
from pathlib import Path

import benchlib
import torch

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--library", default=Path(__file__).resolve().parents[2] / "build/lib/libwkv_ops.so", type=Path)
parser.add_argument("--threads", default=2, type=int)
parser.add_argument("--rounds", default=9, type=int)
parser.add_argument("--time", default=1024, type=int)
options = parser.parse_args()
torch.ops.load_library(str(options.library))
torch.set_num_threads(options.threads)
B, H, N = 4, 12, 64


def inputs(time):
    torch.manual_seed(0)
    r, k, v = (torch.randn(B, time, H, N) * 0.5 for _ in range(3))
    w = torch.randn(B, time, H, N) * 0.5 - 2
    unit = torch.nn.functional.normalize(torch.randn(B, time, H, N), dim=-1)
    return r, w, k, v, -unit, unit * torch.sigmoid(torch.randn(B, time, H, N))


def step_loop(r, w, k, v, a, b):
    """One token after the other, as inference packages write it."""
    state, decay, out = r.new_zeros(B, H, N, N), torch.exp(-torch.exp(w)), []
    for t in range(r.shape[1]):
        change = a[:, t, :, :, None] @ b[:, t, :, None, :]
        state = state * decay[:, t, :, None, :] + state @ change + v[:, t, :, :, None] @ k[:, t, :, None, :]
        out.append((state @ r[:, t, :, :, None])[..., 0])
    return torch.stack(out, 1)


def in_place_loop(r, w, k, v, a, b):
    """The same recurrence with as few and as large operations as PyTorch allows; the state is [key, value]."""
    heads = [x.transpose(1, 2).reshape(B * H, -1, N) for x in (r, torch.exp(-torch.exp(w)), k, v, a, b)]
    r, d, k, v, a, b = heads
    time = r.shape[1]
    state, out = r.new_zeros(B * H, N, N), r.new_empty(time, B * H, 1, N)
    left, right = torch.stack((b, k), -1), r.new_empty(B * H, 2, N)
    for t in range(time):
        torch.bmm(a[:, t : t + 1], state, out=right[:, :1])
        right[:, 1] = v[:, t]
        state.mul_(d[:, t, :, None]).baddbmm_(left[:, t], right)
        torch.bmm(r[:, t : t + 1], state, out=out[t])
    return out[:, :, 0].view(time, B, H, N).transpose(0, 1)


def ours(*x):
    return torch.ops.wkv.wkv7(*x)[0]


def check(cases, time):
    x = [t[:, :time] for t in inputs(time)]
    expected = step_loop(*(t.double() for t in x))
    for name, case in cases.items():
        error = (case(*x) - expected).abs().max() / expected.abs().max()
        if error > 1e-5:
            raise SystemExit(f"{name} differs from the reference by {error:.1e}: nothing was timed")


def with_gradients(case, x, weights):
    torch.autograd.grad(case(*x), x, weights)


cases = {"libwkv": ours, "step loop": step_loop, "in-place loop": in_place_loop}
check(cases, 48)
isa = torch.ops.wkv._cpu_isa()

x = inputs(options.time)
results = benchlib.measure({n: (lambda c=c: c(*x)) for n, c in cases.items()}, options.rounds, options.threads)
benchlib.report(f"wkv7 forward, B{B} T{options.time} H{H} N{N}, {options.threads} threads, {isa}", results, "libwkv")
flops, moved = 10 * B * options.time * H * N * N, 7 * 4 * B * options.time * H * N
best = min(results["libwkv"][results["libwkv"]["clock"]])
print(f"  libwkv at its best: {flops / best * 1e-9:.0f} GFLOP/s, {moved / best * 1e-9:.1f} GB/s")

time = min(options.time, 256)
x = [t.requires_grad_() for t in inputs(time)]
weights = torch.randn(B, time, H, N)
cases.pop("in-place loop")  # autograd can't differentiate it
results = benchlib.measure({n: (lambda c=c: with_gradients(c, x, weights)) for n, c in cases.items()}, options.rounds, options.threads)
benchlib.report(f"wkv7 forward and backward, B{B} T{time} H{H} N{N}, {options.threads} threads, {isa}", results, "libwkv")
