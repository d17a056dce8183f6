#!/usr/bin/env python3
"""The ops on a GPU: medians of CUDA events, beside the time of a copy of the same bytes and beside other libraries.

bench_cuda.py [--ops wkv7,...] [--without wkv7,...] [--dtype float32,bfloat16] [--runs 50] [--json FILE]

The limit is a copy, in the same run, of the bytes that an op has to move at least: forward its inputs and outputs once; with
the backward, inputs read twice, gradients of the outputs read, gradients of the inputs written. Before every run a buffer
larger than the L2 cache is written. WKV_CUDA_FORM=recurrent times that form of the ops that have two. Peers: the functions
of flash-linear-attention where it is installed, PyTorch's causal attention at the same shape.
"""

import argparse
import json
import os
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import torch
import torch.nn.functional as F

ops = torch.ops.wkv
WARM_UP = 5
CACHE_BYTES = 256 << 20


@dataclass
class Case:
    op: str
    shape: str
    inputs: list[torch.Tensor]  # fp32
    ours: Callable
    full_precision: tuple[int, ...] = ()  # the inputs that stay fp32
    peers: dict[str, Callable] = field(default_factory=dict)
    aims: dict[str, float] = field(default_factory=dict)  # "backward float32" -> ms, or a share of the limit below 1


def normal(*shape, scale=0.5, mean=0.0):
    return torch.randn(*shape, device="cuda") * scale + mean


# --- the cases ---


def wkv7():
    B, T, H, N = 8, 4096, 64, 64
    r, k, v = (normal(B, T, H, N) for _ in range(3))
    unit = F.normalize(normal(B, T, H, N), dim=-1)
    inputs = [r, normal(B, T, H, N, mean=-2), k, v, -unit, unit * normal(B, T, H, N, scale=1).sigmoid()]
    peers = {"attention": lambda r, w, k, v, a, b: attention(r, k, v)}
    if fla := flash_linear_attention("rwkv7"):
        peers["fla"] = lambda r, w, k, v, a, b: fla.chunk_rwkv7(r, -w.exp(), k, v, a, b)[0]
    aims = {"backward float32": 8, "backward bfloat16": 5, "forward float32": 2}
    return Case("wkv7", f"B{B} T{T} H{H} N{N}", inputs, lambda *x: ops.wkv7(*x)[0], (1,), peers, aims)


def wkv6():
    B, T, H, N = 8, 4096, 64, 64
    inputs = [*(normal(B, T, H, N) for _ in range(3)), normal(B, T, H, N, scale=1, mean=-2), normal(H, N)]
    peers = {"attention": lambda r, k, v, w, u: attention(r, k, v)}
    if fla := flash_linear_attention("rwkv6"):
        peers["fla"] = lambda r, k, v, w, u: fla.chunk_rwkv6(r, k, v, -w.exp(), u, scale=1.0)[0]
    return Case("wkv6", f"B{B} T{T} H{H} N{N}", inputs, lambda *x: ops.wkv6(*x)[0], (3, 4), peers)


def wkv4():
    B, T, C = 8, 4096, 2048
    inputs = [normal(C, mean=-1), normal(C), normal(B, T, C), normal(B, T, C)]
    return Case("wkv4", f"B{B} T{T} C{C}", inputs, lambda *x: ops.wkv4(*x)[0], (0, 1), aims={"forward float32": 0.6})


def bi_wkv():
    B, T, C = 16, 4096, 768
    inputs = [normal(C) / T, normal(C), normal(B, T, C), normal(B, T, C)]
    return Case("bi_wkv", f"B{B} T{T} C{C}", inputs, ops.bi_wkv, (0, 1), aims={"forward float32": 0.6})


def bi_wkv6():
    B, T, H, N = 32, 1024, 12, 64
    inputs = [*(normal(B, T, H, N) for _ in range(3)), normal(B, T, H, N, mean=-2), normal(H, N)]
    return Case("bi_wkv6", f"B{B} T{T} H{H} N{N}", inputs, ops.bi_wkv6, (3, 4))


def based_linear_attention():
    B, T, H, d, dv = 8, 4096, 16, 16, 64
    inputs = [normal(B, T, H, d, scale=0.7), normal(B, T, H, d, scale=0.7), normal(B, T, H, dv)]
    return Case("based_linear_attention", f"B{B} T{T} H{H} d{d} dv{dv}", inputs,
                lambda *x: ops.based_linear_attention(*x)[0], peers={"attention": attention})


def sliding_window_attention():
    B, T, H, D, back = 8, 4096, 16, 64, 64
    return Case("sliding_window_attention", f"B{B} T{T} H{H} D{D}, {back} keys back",
                [normal(B, T, H, D) for _ in range(3)], lambda *x: ops.sliding_window_attention(*x, back)[0],
                peers={"attention": attention})


def short_conv():
    B, T, C, K = 8, 4096, 2048, 3
    pad = lambda x: F.pad(x.transpose(1, 2), (K - 1, 0))  # noqa: E731
    conv1d = lambda x, weight: F.conv1d(pad(x), weight.to(x.dtype), groups=C).transpose(1, 2)  # noqa: E731
    return Case("short_conv", f"B{B} T{T} C{C} K{K}", [normal(B, T, C), normal(C, 1, K)],
                lambda *x: ops.short_conv(*x)[0], (1,), {"conv1d": conv1d})


def q_shift():
    B, side, C = 64, 32, 768
    return Case("q_shift", f"B{B} {side}x{side} C{C}", [normal(B, side * side, C)], lambda x: ops.q_shift(x, side, side))


def ms_deform_attn():
    B, M, D, P, maps = 8, 8, 32, 4, [(64, 64), (32, 32), (16, 16)]
    tokens = [h * w for h, w in maps]
    shapes = torch.tensor(maps, device="cuda")
    starts = torch.tensor([sum(tokens[:level]) for level in range(len(maps))], device="cuda")
    Q, L = tokens[0], len(maps)
    weights = torch.rand(B, Q, M, L * P, device="cuda").softmax(-1).view(B, Q, M, L, P)
    inputs = [normal(B, sum(tokens), M, D), torch.rand(B, Q, M, L, P, 2, device="cuda"), weights]
    return Case("ms_deform_attn", f"B{B} Q{Q} M{M} L{L} P{P} D{D}", inputs,
                lambda value, *x: ops.ms_deform_attn(value, shapes, starts, *x), (1, 2))


CASES = [wkv7, wkv6, wkv4, bi_wkv, based_linear_attention, sliding_window_attention, short_conv, bi_wkv6, q_shift,
         ms_deform_attn]


# --- peers ---


def attention(q, k, v):
    """PyTorch's, causal, with all keys."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


def flash_linear_attention(name):
    try:
        return __import__(f"fla.ops.{name}", fromlist=[name])
    except Exception:  # not installed, or not for this PyTorch
        return None


# --- timing ---


def milliseconds(call, runs):
    """Of each run, by the GPU's clock. The writing of the buffer also lets the CPU get ahead of the GPU."""
    cache = torch.empty(CACHE_BYTES, dtype=torch.uint8, device="cuda")
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(runs)]
    for _ in range(WARM_UP):
        call()
    for start, end in events:
        cache.zero_()
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in events]


def copy_milliseconds(moved, runs):
    source, target = (torch.empty(moved // 2, dtype=torch.uint8, device="cuda") for _ in range(2))
    return statistics.median(milliseconds(lambda: target.copy_(source), min(runs, 20)))


def forward_and_backward(function, inputs):
    leaves = [x.detach().requires_grad_() for x in inputs]
    weights = torch.randn_like(function(*leaves))
    return lambda: torch.autograd.grad(function(*leaves), leaves, weights, allow_unused=True)


def rows_of(case, dtype, runs):
    inputs = [x if i in case.full_precision else x.to(dtype) for i, x in enumerate(case.inputs)]
    in_bytes = sum(x.nbytes for x in inputs)
    out_bytes = case.ours(*inputs).nbytes
    directions = {
        "forward": (lambda function: lambda: function(*inputs), in_bytes + out_bytes),
        "backward": (lambda function: forward_and_backward(function, inputs), 3 * in_bytes + 2 * out_bytes),
    }
    for direction, (prepared, moved) in directions.items():
        limit = copy_milliseconds(moved, runs)
        for name, function in {"wkv": case.ours, **case.peers}.items():
            row = {"op": case.op, "shape": case.shape, "dtype": str(dtype).removeprefix("torch."), "direction": direction,
                   "form": os.environ.get("WKV_CUDA_FORM", "by shape"), "of": name, "bytes": moved, "copy_ms": limit}
            try:
                with torch.set_grad_enabled(direction == "backward"):
                    times = milliseconds(prepared(function), runs if name == "wkv" else min(runs, 20))
            except Exception as error:  # a peer that lacks memory or a dtype; ours is an error
                if name == "wkv":
                    raise
                yield row | {"error": str(error).splitlines()[0]}
                continue
            median, tenth = statistics.median(times), statistics.quantiles(times, n=10)[0]
            aim = case.aims.get(f"{direction} {row['dtype']}") if name == "wkv" else None
            yield row | {"median_ms": median, "p10_ms": tenth, "of_limit": limit / median, "aim": aim}


def text(row):
    head = f"{row['op']:24} {row['shape']:24} {row['dtype']:9} {row['direction']:9} {row['of']:10}"
    if "error" in row:
        return f"{head} {row['error'][:60]}"
    times = f"{row['median_ms']:8.3f} ms (p10 {row['p10_ms']:.3f})"
    return f"{head} {times}, copy {row['copy_ms']:.3f} ms: {row['of_limit']:.0%}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    library = Path(os.environ.get("WKV_LIBRARY_DIR", Path(__file__).resolve().parents[2] / "build/lib")) / "libwkv_ops.so"
    parser.add_argument("--ops", default=",".join(make.__name__ for make in CASES))
    parser.add_argument("--without", default="")
    parser.add_argument("--dtype", default="float32,bfloat16")
    parser.add_argument("--runs", default=50, type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.ops.load_library(library)
    torch.manual_seed(0)
    rows = []
    for make in CASES:
        if make.__name__ not in options.ops.split(",") or make.__name__ in options.without.split(","):
            continue
        case = make()
        for dtype in options.dtype.split(","):
            for row in rows_of(case, getattr(torch, dtype), options.runs):
                print(text(row), flush=True)
                rows.append(row)
                if options.json:  # after each, for a run that is cut off
                    options.json.write_text(json.dumps(rows, indent=1))
        del case
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
