"""Training of a small RWKV-7 beside the same model with a loop over the tokens and an equally large attention model.

python tests/benchmark/bench_training.py [--lengths 128 512 2048] [--dtypes fp32 bf16] [--compile] [--threads 2]
A step is forward, backward, clipping and AdamW, on as many tokens for every length. libwkv's model runs through
wkv.nn.Module, and once by the program `wkv train`, whose figure is of the wall clock; the others are plain PyTorch
(training_peers.py), attention fused. bf16 is autocast, with parameters in fp32. Models take turns (benchlib.py); a
ratio is the median of the rounds' ratios.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import benchlib
import torch
from torch.nn.functional import cross_entropy
from train_program import new_model, random_text, train
from training_peers import AttentionModel, RWKV7Loop

import wkv

VOCAB, LAYERS, WIDTH, HEAD_SIZE = 256, 5, 128, 32
MODEL = {
    "family": "rwkv7",
    "layers": LAYERS,
    "width": WIDTH,
    "head_size": HEAD_SIZE,
    "ranks": {"decay": 32, "in_context_rate": 32, "value_residual": 32, "gate": 32},
}
TOKENS = 4096  # of a step
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LOOP_ROUNDS = 3  # the loop takes so long that a few must do
OURS, TRAINER, LOOP, ATTENTION, COMPILED = "libwkv", "wkv train", "RWKV-7, loop", "attention", "attention, compiled"


def trainer_speed(folder, length, dtype, steps, threads):
    """Tokens/s of `wkv train` itself, by the median of the times between the lines of its log."""
    recipe = {
        "output": str(folder / f"{length}-{dtype}"),
        "steps": steps,
        "batch": TOKENS // length,
        "context": length,
        "precision": dtype,
        "model": MODEL,
        "data": {"files": [str(folder / "text.txt")], "tokenizer": "bytes"},
        "log_every": 1,
        "checkpoint_every": 0,
    }
    log = train(recipe, threads=threads) / "metrics.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    clock = [line["seconds"] for line in lines if "loss" in line]
    return TOKENS / statistics.median(after - before for before, after in zip(clock[1:], clock[2:]))


class Trained:
    """A model and its optimizer; calling it does a step."""

    def __init__(self, module, dtype, inputs, targets, loss=None):
        self.module, self.dtype, self.inputs, self.targets = module, dtype, inputs, targets
        self.loss = loss or (lambda x, y: cross_entropy(module(x).float().flatten(0, 1), y.flatten()))
        self.optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, betas=(0.9, 0.99), fused=True)

    def __call__(self):
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            loss = self.loss(self.inputs, self.targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


def attention_model(parameters, longest):
    """The width and heads of the RWKV-7; the inner width gives it as many parameters, to one part in a hundred."""
    beside = 2 * VOCAB * WIDTH + WIDTH + LAYERS * (4 * WIDTH * WIDTH + 2 * WIDTH)
    inner = round((parameters - beside) / (LAYERS * 3 * WIDTH))
    return AttentionModel(VOCAB, LAYERS, WIDTH, WIDTH // HEAD_SIZE, inner, longest)


def batch(length):
    tokens = torch.randint(VOCAB, (TOKENS // length, length + 1), generator=torch.Generator().manual_seed(0))
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def check(ours, loop, inputs):
    """The loop is the same model."""
    difference = (ours(inputs[:1])[0] - loop(inputs[:1])).abs().max().item()
    if difference > 1e-3:
        raise RuntimeError(f"the loop's logits differ from libwkv's by {difference:.1e}")


def measure(checkpoint, length, dtype_name, options):
    """model -> (tokens/s, times libwkv's time, disturbed)"""
    dtype, (inputs, targets) = DTYPES[dtype_name], batch(length)
    ours = wkv.nn.Module(wkv.load(checkpoint)).train()
    loop = RWKV7Loop(ours.model.named_parameters(), LAYERS)
    check(ours, loop, inputs)
    count = sum(p.numel() for p in ours.parameters())
    attention = attention_model(count, length)
    theirs = sum(p.numel() for p in attention.parameters())
    if abs(theirs / count - 1) > 0.01:
        raise RuntimeError(f"the attention model has {theirs} parameters, RWKV-7 {count}")
    cases = {
        OURS: Trained(ours, dtype, inputs, targets, ours.loss),
        ATTENTION: Trained(attention, dtype, inputs, targets),
    }
    if options.compile:
        compiled = torch.compile(attention_model(count, length))
        cases[COMPILED] = Trained(compiled, dtype, inputs, targets)
    results = benchlib.measure(cases, options.rounds, options.threads)
    with_loop = {OURS: cases[OURS], LOOP: Trained(loop, dtype, inputs, targets)}
    slow = benchlib.measure(with_loop, LOOP_ROUNDS, options.threads, warmup=1)
    found = {}
    for name, result, base in [*((n, r, results) for n, r in results.items()), (LOOP, slow[LOOP], slow)]:
        clock = result["clock"]
        ratio = statistics.median(x / y for x, y in zip(result[clock], base[OURS][clock]))
        found[name] = (TOKENS / statistics.median(result[clock]), ratio, clock == "wall" and result["busy"] < 0.8)
    return found, count


def table(speeds):
    names = [
        name for name in (OURS, TRAINER, ATTENTION, COMPILED, LOOP) if any(name in found for found in speeds.values())
    ]

    def cell(found, name):
        if name not in found:
            return ""
        rate, ratio, disturbed = found[name]
        return f"{rate:,.0f}" + (f" ({ratio:.2f}x)" if ratio else "") + (" (disturbed)" if disturbed else "")

    lines = ["| T | dtype | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for (length, dtype), found in speeds.items():
        lines.append(f"| {length} | {dtype} | " + " | ".join(cell(found, name) for name in names) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 512, 2048])
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--compile", action="store_true", help="also attention by torch.compile")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--trainer-steps", type=int, default=12, help="of `wkv train`, for its own figure")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    speeds = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random_text(folder / "text.txt", 64 * TOKENS)
        checkpoint = new_model(folder / "new", MODEL)
        for length in options.lengths:
            for dtype in options.dtypes:
                start = time.perf_counter()
                speeds[length, dtype], parameters = measure(checkpoint, length, dtype, options)
                rate = trainer_speed(folder, length, dtype, options.trainer_steps, options.threads)
                speeds[length, dtype][TRAINER] = (rate, None, False)
                print(f"T = {length}, {dtype}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    clock = "CPU" if options.threads == 1 else "wall"
    print(f"Tokens/s of training, {parameters:,} parameters, {TOKENS} tokens a step, {options.threads} threads", end="")
    print(f" ({clock} time), PyTorch {torch.__version__}; (times libwkv's time)\n")
    print(table(speeds))


if __name__ == "__main__":
    main()
