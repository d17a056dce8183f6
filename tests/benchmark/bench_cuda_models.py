#!/usr/bin/env python3
"""Whole models on a GPU, with random weights, in bf16, one token at a time under CUDA graphs.

bench_cuda_models.py [--models rwkv7,based] [--json FILE] [--folder FOLDER]

rwkv7   RWKV-7 1.5B, batch 1: tokens/s beside the limit, the time of a copy that moves as many bytes as a token reads.
based   BASED 1.3B and an attention model of the same size (its keys and values in static caches, PyTorch's flash attention):
        1024 tokens each at batch 1, 128 and the largest that goes faster and fits. The caches grow by blocks of 128, each
        with a graph of its own.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from bench_cuda import copy_milliseconds
from random_checkpoints import BASED_1B, random_checkpoint, weights_read_for_a_token
from torch.nn.attention import SDPBackend, sdpa_kernel

TOKENS, BLOCK = 1024, 128
LARGEST_BATCH = 8192


def graph_milliseconds(step, runs=30):
    """The median time of a replay of `step`."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    times = []
    for run in range(runs + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times[3:])


# --- the models ---


class Recurrent:
    """A model of wkv: the same time for every token."""

    def __init__(self, path, config=None):
        import wkv

        self.model = wkv.load(path, config=config, device="cuda", dtype=torch.bfloat16)

    @torch.inference_mode()
    def milliseconds(self, batch):
        """Of each token."""
        pool, slots = self.model.initial_state(batch), torch.arange(batch, device="cuda")
        tokens = torch.zeros(batch, dtype=torch.int64, device="cuda")

        def step():
            tokens.copy_(self.model.decode(tokens, pool, slots).argmax(-1))

        return [graph_milliseconds(step)]


class Attention:
    """A transformer of 1.3 billion parameters: norms, rotary positions, gated MLPs."""

    layers, width, heads, inner, vocab = 24, 2048, 16, 5504, 50264

    def __init__(self):
        def matrix(rows, columns):
            return torch.randn(rows, columns, device="cuda", dtype=torch.bfloat16) * columns**-0.5

        width = self.width
        self.blocks = [
            (matrix(3 * width, width), matrix(width, width), matrix(2 * self.inner, width), matrix(width, self.inner))
            for _ in range(self.layers)
        ]
        self.embedding = matrix(self.vocab, width)
        self.norm = torch.ones(width, device="cuda", dtype=torch.bfloat16)

    def logits(self, tokens, caches, length, cosine, sine):
        x = F.embedding(tokens, self.embedding)
        for (qkv, out, up, down), (keys, values) in zip(self.blocks, caches):
            q, k, v = F.linear(F.rms_norm(x, [self.width], self.norm), qkv).view(-1, 3, self.heads, 1, 128).unbind(1)
            q, k = (t * cosine + t.roll(64, -1) * sine for t in (q, k))
            keys[:, :, length - 1 : length], values[:, :, length - 1 : length] = k, v
            y = F.scaled_dot_product_attention(q, keys[:, :, :length], values[:, :, :length])
            x = x + F.linear(y.flatten(1), out)
            gate, value = F.linear(F.rms_norm(x, [self.width], self.norm), up).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * value, down)
        return F.linear(F.rms_norm(x, [self.width], self.norm), self.embedding)

    @torch.inference_mode()
    def milliseconds(self, batch):
        """Of a token in each block of the caches."""
        shape = (self.layers, 2, batch, self.heads, TOKENS, 128)
        caches = torch.zeros(shape, device="cuda", dtype=torch.bfloat16)
        tokens = torch.zeros(batch, dtype=torch.int64, device="cuda")
        angles = torch.randn(128, device="cuda", dtype=torch.bfloat16)
        found = []
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            for length in range(BLOCK, TOKENS + 1, BLOCK):

                def step():
                    logits = self.logits(tokens, caches, length, angles.cos(), angles.sin())  # noqa: B023
                    tokens.copy_(logits.argmax(-1))

                found.append(graph_milliseconds(step, 10))
        return found


# --- what is measured ---


def rwkv7(folder):
    path = random_checkpoint("rwkv7-1.5B", folder, "cuda")
    milliseconds = Recurrent(path).milliseconds(1)[0]
    limit = copy_milliseconds(2 * weights_read_for_a_token(path), 20)
    yield {"model": "RWKV-7 1.5B", "batch": 1, "tokens_per_s": 1e3 / milliseconds, "ms": milliseconds, "copy_ms": limit,
           "of_limit": limit / milliseconds, "aim": 0.85}


def throughput(name, model, batch):
    milliseconds = statistics.fmean(model.milliseconds(batch))
    return {"model": name, "batch": batch, "tokens_per_s": batch * 1e3 / milliseconds, "ms": milliseconds}


def generation(name, model):
    """At batch 1, 128, and twice as many again while that is faster and fits."""
    yield throughput(name, model, 1)
    batch, best = 128, 0
    while batch <= LARGEST_BATCH:
        try:
            row = throughput(name, model, batch)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            return
        yield row
        if row["tokens_per_s"] < 1.05 * best:
            return
        best, batch = row["tokens_per_s"], 2 * batch


def based(folder):
    yield from generation("BASED 1.3B", Recurrent(random_checkpoint("based-1b", folder, "cuda"), BASED_1B))
    torch.cuda.empty_cache()
    yield from generation("attention 1.3B", Attention())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="rwkv7,based")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", default=tempfile.gettempdir(), type=Path, help="for the checkpoints, 6 GB")
    options = parser.parse_args()
    rows = []
    for name in options.models.split(","):
        for row in {"rwkv7": rwkv7, "based": based}[name](options.folder):
            print(", ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{value}" for key, value in row.items()))
            rows.append(row)
            if options.json:
                options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
