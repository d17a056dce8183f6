#!/usr/bin/env python3
"""The ops against what PyTorch offers for the same on a CPU, and against the machine's limit of the same minute.

bench_ops.py [--library build/lib/libwkv_ops.so] [--ops wkv4,wkv6,...] [--backward] [--threads 2] [--rounds 9]
             [--compile] [--dtype float32] [--markdown]

Every peer is checked against libwkv before anything is timed. A ratio is the median of the rounds' ratios. The limit of an
op is the larger of its least memory traffic at the bandwidth of a copy, and its multiply-adds at the rate of a large matrix
product. --backward times the forward and backward of short sequences. --compile adds peers through torch.compile.
--dtype times libwkv in that dtype as well.
"""

import argparse
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import benchlib
import peers
import torch

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--library", default=Path(__file__).resolve().parents[2] / "build/lib/libwkv_ops.so", type=Path)
parser.add_argument("--ops", default="")
parser.add_argument("--backward", action="store_true")
parser.add_argument("--threads", default=2, type=int)
parser.add_argument("--rounds", default=9, type=int)
parser.add_argument("--compile", action="store_true")
parser.add_argument("--dtype", choices=["bfloat16", "float16"])
parser.add_argument("--markdown", action="store_true")
options = parser.parse_args()
torch.ops.load_library(str(options.library))
torch.set_num_threads(options.threads)
ops = torch.ops.wkv


@dataclass
class Case:
    op: str
    shape: str
    inputs: list[torch.Tensor]
    ours: Callable
    peers: dict[str, Callable] = field(default_factory=dict)
    yardsticks: dict[str, Callable] = field(default_factory=dict)  # other functions: timed, not compared
    flops: float = 0  # of the forward; 0: memory is the limit
    full_precision: tuple[int, ...] = ()  # the inputs that stay float32 when libwkv gets half precision


def normal(*shape, scale=0.5, mean=0.0):
    return torch.randn(*shape) * scale + mean


def time(long, short):
    return short if options.backward else long


def wkv4():
    B, T, C = 8, time(1024, 256), 768
    compared = {"loop": peers.wkv4_loop}
    if options.compile and not options.backward:
        compared["torch.compile, 16 tokens"] = peers.wkv4_compiled()
    inputs = [torch.rand(C) * 4 - 3, normal(C), normal(B, T, C, scale=2), normal(B, T, C, scale=1)]
    yield Case("wkv4", f"B{B} T{T} C{C}", inputs, lambda *x: ops.wkv4(*x)[0], compared, full_precision=(0,))


def wkv6_inputs(B, T, H, N):
    r, k, v = (normal(B, T, H, N) for _ in range(3))
    return [r, k, v, torch.rand(B, T, H, N) * 5 - 5, normal(H, N, scale=0.3)]


def wkv5():
    B, T, H, N = 4, time(1024, 256), 12, 64
    r, k, v, w, u = wkv6_inputs(B, T, H, N)
    compared = {"loop": lambda r, k, v, w, u: peers.wkv6_loop(r, k, v, w.expand_as(r), u)}
    yield Case("wkv5", f"B{B} T{T} H{H} N{N}", [r, k, v, w[0, 0].clone(), u], lambda *x: ops.wkv5(*x)[0], compared,
               flops=6 * B * T * H * N * N, full_precision=(3,))


def wkv6():
    B, T, H, N = 4, time(1024, 256), 12, 64
    compared = {"loop": peers.wkv6_loop} | ({} if options.backward else {"in-place loop": peers.wkv6_in_place})
    yield Case("wkv6", f"B{B} T{T} H{H} N{N}", wkv6_inputs(B, T, H, N), lambda *x: ops.wkv6(*x)[0], compared,
               flops=6 * B * T * H * N * N, full_precision=(3,))


def bi_wkv6():
    B, T, H, N = 8, 196, 12, 64
    flip = lambda x: x.flip(1)  # noqa: E731
    loops = lambda r, k, v, w, u: peers.wkv6_loop(r, k, v, w, u) + flip(  # noqa: E731
        peers.wkv6_loop(flip(r), flip(k), flip(v), flip(w), torch.zeros_like(u))
    )
    yield Case("bi_wkv6", f"B{B} T{T} H{H} N{N}", wkv6_inputs(B, T, H, N), ops.bi_wkv6, {"two loops": loops},
               flops=12 * B * T * H * N * N, full_precision=(3,))


def wkv7():
    B, T, H, N = 4, time(1024, 256), 12, 64
    r, k, v = (normal(B, T, H, N) for _ in range(3))
    unit = torch.nn.functional.normalize(normal(B, T, H, N), dim=-1)
    inputs = [r, normal(B, T, H, N, mean=-2), k, v, -unit, unit * torch.sigmoid(normal(B, T, H, N, scale=1))]
    compared = {"loop": peers.wkv7_loop} | ({} if options.backward else {"in-place loop": peers.wkv7_in_place})
    yield Case("wkv7", f"B{B} T{T} H{H} N{N}", inputs, lambda *x: ops.wkv7(*x)[0], compared,
               flops=10 * B * T * H * N * N, full_precision=(1,))


def bi_wkv():
    for B, T, C in [(8, 196, 768)] + ([] if options.backward else [(8, 4096, 192)]):
        inputs = [torch.rand(C) * 5 / T, normal(C, scale=0.3), normal(B, T, C, scale=1), normal(B, T, C, scale=1)]
        compared = {"loop": peers.bi_wkv_loop, "FFT": peers.bi_wkv_fft}
        yield Case("bi_wkv", f"B{B} T{T} C{C}", inputs, ops.bi_wkv, compared, full_precision=(0, 1))


def based_linear_attention():
    B, T, H, d, dv = 4, 1024, 16, 16, 64
    inputs = [normal(B, T, H, d, scale=0.7), normal(B, T, H, d, scale=0.7), normal(B, T, H, dv, scale=1)]
    compared = {"quadratic": peers.based_quadratic, "chunked": peers.based_chunked}
    if options.compile:
        compared["torch.compile(chunked)"] = torch.compile(peers.based_chunked, dynamic=False)
    yield Case("based_linear_attention", f"B{B} T{T} H{H} d{d} dv{dv}", inputs,
               lambda *x: ops.based_linear_attention(*x)[0], compared,
               yardsticks={} if options.backward else {"attention, d = 64": peers.attention},
               flops=4 * (1 + d + d * (d + 1) // 2) * (dv + 1) * B * T * H)


def sliding_window_attention():
    B, T, H, D, back = 4, 1024, 16, 64, 64
    distance = torch.arange(T)[:, None] - torch.arange(T)
    mask = (distance >= 0) & (distance <= back)

    def masked(q, k, v):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)

    yield Case("sliding_window_attention", f"B{B} T{T} H{H} D{D} keys_back {back}",
               [normal(B, T, H, D, scale=1) for _ in range(3)],
               lambda *x: ops.sliding_window_attention(*x, back)[0], {"PyTorch's attention with a mask": masked},
               flops=4 * B * T * H * D * (back + 1))


def short_conv():
    B, T, C, K = 4, 1024, 1024, 3

    def conv1d(x, weight):
        x = torch.nn.functional.pad(x.transpose(1, 2), (K - 1, 0))
        return torch.nn.functional.conv1d(x, weight, groups=C).transpose(1, 2)

    yield Case("short_conv", f"B{B} T{T} C{C} K{K}", [normal(B, T, C, scale=1), normal(C, 1, K)],
               lambda *x: ops.short_conv(*x)[0], {"conv1d": conv1d})


def q_shift():
    B, side, C = 8, 14, 768

    def slices(x):
        x = x.transpose(1, 2).reshape(B, C, side, side)
        y, n = torch.zeros_like(x), C // 4
        y[:, :n, :, 1:] = x[:, :n, :, :-1]
        y[:, n : 2 * n, :, :-1] = x[:, n : 2 * n, :, 1:]
        y[:, 2 * n : 3 * n, 1:] = x[:, 2 * n : 3 * n, :-1]
        y[:, 3 * n :, :-1] = x[:, 3 * n :, 1:]
        return y.flatten(2).transpose(1, 2)

    yield Case("q_shift", f"B{B} {side}x{side} C{C}", [normal(B, side * side, C)],
               lambda x: ops.q_shift(x, side, side), {"slices": slices})


def ms_deform_attn():
    B, M, D, P, maps = 2, 6, 32, 4, [(64, 64), (32, 32), (16, 16)]
    tokens = [h * w for h, w in maps]
    S, Q, levels = sum(tokens), tokens[1], len(maps)

    def composite(value, locations, weights):
        y = 0
        for level, (h, w) in enumerate(maps):
            start = sum(tokens[:level])
            plane = value[:, start : start + h * w].permute(0, 2, 3, 1).reshape(B * M, D, h, w)
            grid = (2 * locations[:, :, :, level] - 1).permute(0, 2, 1, 3, 4).reshape(B * M, Q, P, 2)
            samples = torch.nn.functional.grid_sample(plane, grid, align_corners=False)
            y = y + (samples * weights[:, :, :, level].permute(0, 2, 1, 3).reshape(B * M, 1, Q, P)).sum(-1)
        return y.reshape(B, M * D, Q).transpose(1, 2)

    shapes, starts = torch.tensor(maps), torch.tensor([sum(tokens[:level]) for level in range(levels)])
    inputs = [normal(B, S, M, D), torch.rand(B, Q, M, levels, P, 2),
              torch.rand(B, Q, M, levels * P).softmax(-1).view(B, Q, M, levels, P)]
    yield Case("ms_deform_attn", f"B{B} Q{Q} M{M} L{levels} P{P} D{D}", inputs,
               lambda value, locations, weights: ops.ms_deform_attn(value, shapes, starts, locations, weights),
               {"grid_sample": composite}, full_precision=(1, 2))


CASES = [wkv4, wkv5, wkv6, wkv7, bi_wkv, bi_wkv6, q_shift, based_linear_attention, sliding_window_attention, short_conv,
         ms_deform_attn]


def check(case):
    expected = case.ours(*case.inputs)
    for name, peer in case.peers.items():
        error = (peer(*case.inputs) - expected).abs().max() / expected.abs().max()
        if not error < 1e-3:
            raise SystemExit(f"{case.op}: {name} differs by {error:.1e} of the largest: nothing was timed")


def timed(case, function, inputs):
    if not options.backward:
        return lambda: function(*inputs)
    leaves = [x.detach().requires_grad_() for x in inputs]
    weights = torch.randn_like(function(*leaves))
    return lambda: torch.autograd.grad(function(*leaves), leaves, weights)


def machine_limits():
    """The bandwidth of a copy (bytes/s, read and written) and the rate of a matrix product (FLOP/s)."""
    source, target = torch.randn(64 << 20), torch.empty(64 << 20)
    x, y = torch.randn(1024, 1024), torch.randn(1024, 1024)
    cases = {"copy": lambda: target.copy_(source), "product": lambda: torch.mm(x, y)}
    results = benchlib.measure(cases, 7, options.threads)
    best = {name: min(result[result["clock"]]) for name, result in results.items()}
    return 2 * source.nbytes / best["copy"], 2 * 1024**3 / best["product"]


def run(case):
    torch.manual_seed(0)
    check(case)
    named = {"libwkv": timed(case, case.ours, case.inputs)}
    if options.dtype:
        dtype = getattr(torch, options.dtype)
        lower = [x if i in case.full_precision else x.to(dtype) for i, x in enumerate(case.inputs)]
        named[f"libwkv {options.dtype}"] = timed(case, case.ours, lower)
    for name, peer in (case.peers | case.yardsticks).items():
        named[name] = timed(case, peer, case.inputs)
    results = benchlib.measure(named, options.rounds, options.threads)
    bandwidth, rate = machine_limits()
    moved = sum(x.nbytes for x in case.inputs) + case.ours(*case.inputs).nbytes
    limit = max(moved / bandwidth, case.flops / rate)
    return results, limit


def rows_of(case, results, limit):
    clock = results["libwkv"]["clock"]
    median = {name: statistics.median(result[clock]) for name, result in results.items()}
    for name, result in results.items():
        if name == "libwkv":
            continue
        ratio = statistics.median(x / y for x, y in zip(result[clock], results["libwkv"][clock]))
        yield [case.op, case.shape, f"{median['libwkv'] * 1e3:.2f}",
               "" if options.backward else f"{limit * 1e3:.2f} ({limit / median['libwkv']:.0%})", name,
               f"{median[name] * 1e3:.1f}", f"{ratio:.1f}x"]


HEADER = ["op", "shape", "libwkv, ms", "limit, ms (reached)", "peer", "ms", "ratio"]
print(f"{'forward and backward' if options.backward else 'forward'}, float32, {options.threads} threads, "
      f"{ops._cpu_isa()}, PyTorch {torch.__version__}, {options.rounds} rounds", flush=True)
if options.markdown:
    print("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER))
wanted = options.ops.split(",") if options.ops else [make.__name__ for make in CASES]
for make in CASES:
    if make.__name__ not in wanted:
        continue
    torch.manual_seed(0)
    for case in make():
        results, limit = run(case)
        if options.markdown:
            for row in rows_of(case, results, limit):
                print("| " + " | ".join(row) + " |", flush=True)
        else:
            benchlib.report(f"{case.op} {case.shape}", results, "libwkv")
            if not options.backward:
                clock = results["libwkv"]["clock"]
                share = limit / statistics.median(results["libwkv"][clock])
                print(f"  limit of the machine: {limit * 1e3:.2f} ms, of which libwkv reaches {share:.0%}")
