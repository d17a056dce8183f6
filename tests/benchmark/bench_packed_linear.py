#!/usr/bin/env python3
"""Quantised and plain weights in decoding against at::linear and the bandwidth of the same minute, for every matrix of RWKV-7 0.1B.

bench_packed_linear.py [--library build/lib/libwkv_ops.so] [--threads 1,2] [--rounds 9] [--rows 1] [--formats fp32,bf16,int8,int4]

`token` is all matrices of one token, one after the other as a model reads them (541 MB in fp32: no cache helps), with the
tokens/s that a model whose other work took no time would reach; the other lines are one matrix each, in so many copies
that they don't stay in a cache. fp32 and
bf16 are the plain matrices as _thin_linear reads them. GB/s counts the bytes of the matrix. With one thread the clock is CPU time, which
other programs hardly disturb.
"""

import argparse
import os
import statistics
from pathlib import Path

import benchlib
import torch

FORMATS = ("fp32", "bf16", "int8", "int4")
PLAIN = {"fp32": torch.float32, "bf16": torch.bfloat16}
CHANNELS, HIDDEN, VOCABULARY, LAYERS = 768, 3072, 65536, 12
# [N, K] and how many a layer has: r, k, v, output; the two of the channel mix; and once, the head.
LAYER = {(CHANNELS, CHANNELS): 4, (HIDDEN, CHANNELS): 1, (CHANNELS, HIDDEN): 1}
HEAD = (VOCABULARY, CHANNELS)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--library", default=Path(__file__).resolve().parents[2] / "build/lib/libwkv_ops.so", type=Path)
parser.add_argument("--threads", default="1,2")
parser.add_argument("--rounds", default=9, type=int)
parser.add_argument("--rows", default=1, type=int, help="tokens of a batch")
parser.add_argument("--formats", default=",".join(FORMATS))
options = parser.parse_args()
torch.ops.load_library(str(options.library))
ops = torch.ops.wkv
torch.manual_seed(0)


def multiply_all(multiply, matrices):
    """Calls multiply(x, weight) for each."""
    inputs = [torch.randn(options.rows, columns) for columns, _ in matrices]

    def run():
        for x, (_, weight) in zip(inputs, matrices):
            multiply(x, weight)

    return run


def cases(shapes):
    """For each way to multiply: what runs all matrices of these shapes, and their bytes."""
    weights = [torch.randn(shape) for shape in shapes]
    for name in options.formats.split(","):
        multiply = ops._thin_linear if name in PLAIN else ops._packed_linear
        held = [(w.shape[1], w.to(PLAIN[name]) if name in PLAIN else ops._pack_linear(w, name)) for w in weights]
        check(multiply, weights[0], held[0][1], name)
        yield name, multiply_all(multiply, held), sum(w.nbytes for _, w in held)
    for dtype in (torch.float32, torch.bfloat16):
        plain = [(w.shape[1], w.to(dtype)) for w in weights]

        def linear(x, w):
            return torch.nn.functional.linear(x.to(w.dtype), w)

        yield f"linear {str(dtype)[6:]}", multiply_all(linear, plain), sum(w.nbytes for _, w in plain)


def check(multiply, weight, held, name):
    x = torch.randn(options.rows, weight.shape[1])
    expected = torch.nn.functional.linear(x, weight)
    error = ((multiply(x, held) - expected).norm() / expected.norm()).item()
    assert error < {"fp32": 1e-5, "bf16": 5e-3, "int8": 0.016}.get(name, 0.1), (name, error)


def bandwidths():
    """Reading through at::sum, and copying (bytes read and written), 256 MB."""
    big = torch.randn(1 << 26)
    other = torch.empty_like(big)
    return [("read (sum)", big.sum, big.nbytes), ("copy", lambda: other.copy_(big), 2 * big.nbytes)]


def report(title, rows, threads):
    times = benchlib.measure({name: run for name, run, _ in rows}, options.rounds, threads)
    print(f"{title}, {threads} thread{'s' if threads > 1 else ''}, load {os.getloadavg()[0]:.1f}")
    for name, _, size in rows:
        clock = times[name]["clock"]
        median, best = statistics.median(times[name][clock]), min(times[name][clock])
        note = "  (disturbed)" if clock == "wall" and times[name]["busy"] < 0.8 else ""
        speed = f"  {options.rows / median:6.0f} tokens/s" if title == "token" and "(" not in name and name != "copy" else ""
        print(f"  {name:15s} {clock} median {median * 1e3:8.3f} ms {size / median * 1e-9:6.1f} GB/s"
              f"  best {best * 1e3:8.3f} ms {size / best * 1e-9:6.1f} GB/s{speed}{note}", flush=True)


def shapes_of_a_token():
    return [shape for _ in range(LAYERS) for shape, count in LAYER.items() for _ in range(count)] + [HEAD]


def main():
    print(f"instruction set {ops._cpu_isa()}, {options.rows} row{'s' if options.rows > 1 else ''} of x")
    for threads in map(int, options.threads.split(",")):
        torch.set_num_threads(threads)
        report("token", [*cases(shapes_of_a_token()), *bandwidths()], threads)
        for shape in (*LAYER, HEAD):
            copies = max(1, (200 << 20) // (4 * shape[0] * shape[1]))
            report(f"{shape[0]} x {shape[1]}, {copies} times", list(cases([shape] * copies)), threads)


main()
