"""generation_worker.py CHECKPOINT DTYPE THREADS DECODED LENGTH...: reads ever longer prompts and decodes after each.

A process of its own, so that its memory is the model's. Prints one JSON list.
"""

import json
import sys
import time
from pathlib import Path

import torch

import wkv

BLOCK = 512  # tokens of a prompt that are read at once


def resident(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def tokens(count, vocab):
    return (torch.arange(count) * 7919 % vocab)[None]


def state_mib(state):
    return sum(x.numel() * x.element_size() for x in state.tensors().values()) / 2**20


def decode(model, state, count, vocab):
    """Tokens/s of the sequence that goes on from this state, with the logits of each."""
    _, state = model(tokens(1, vocab), state)
    start = time.perf_counter()
    for _ in range(count):
        _, state = model(tokens(1, vocab), state)
    return count / (time.perf_counter() - start)


@torch.no_grad()
def main(checkpoint, dtype, threads, decoded, *lengths):
    torch.set_num_threads(int(threads))
    model = wkv.load(checkpoint, dtype=getattr(torch, dtype))
    vocab = model(tokens(1, 1))[0].shape[-1]
    model.read(tokens(BLOCK, vocab), block=BLOCK)  # what a first call leaves is not the state's
    Path("/proc/self/clear_refs").write_text("5")  # the highest point is counted from here
    before, state, known, found = resident("VmRSS"), None, 0, []
    for length in map(int, lengths):
        start = time.perf_counter()
        _, state = model.read(tokens(length - known, vocab), state, block=BLOCK)
        seconds = time.perf_counter() - start
        found.append(
            {
                "length": length,
                "prompt_tokens_per_second": round((length - known) / seconds, 1),
                "decode_tokens_per_second": round(decode(model, state, int(decoded), vocab), 2),
                "state_mib": round(state_mib(state), 3),
                "memory_mib": round(resident("VmHWM") - before, 1),
            }
        )
        known = length
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
