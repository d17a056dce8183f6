"""Checkpoints with random values under the published names: speed and memory don't depend on what the values are, only on
their sizes (in a channel mix half of the squared ReLUs are zero).

Scales are chosen so that activations stay of ordinary size through all layers.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Shape:
    version: int
    layers: int
    width: int
    vocab: int


SHAPES = {
    "rwkv7-0.1B": Shape(7, 12, 768, 65536),
    "rwkv7-0.4B": Shape(7, 24, 1024, 65536),
    "rwkv4-0.1B": Shape(4, 12, 768, 50277),
}
HEAD_SIZE = 64
RANKS = {"w": 64, "a": 64, "v": 32, "g": 128}  # of RWKV-7's low-rank projections


class RandomTensors:
    """A state dict that is filled by kind of tensor."""

    def __init__(self, width, seed=0):
        self.tensors, self.width = {}, width
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, name, *shape, std, mean=0.0):
        self.tensors[name] = (torch.randn(*shape, generator=self.generator) * std + mean).bfloat16()

    def uniform(self, name, *shape, low=0.0, high=1.0):
        self.tensors[name] = (torch.rand(*shape, generator=self.generator) * (high - low) + low).bfloat16()

    def matrix(self, name, rows, columns, gain):
        self.normal(name, rows, columns, std=gain / math.sqrt(columns))

    def norm(self, name):
        self.normal(f"{name}.weight", self.width, std=0.1, mean=1)
        self.normal(f"{name}.bias", self.width, std=0.05)


def time_mix_4(t, name, width):
    t.uniform(f"{name}.time_decay", width, low=-5, high=1)
    t.uniform(f"{name}.time_first", width, low=-1, high=1)
    for part in "kvr":
        t.uniform(f"{name}.time_mix_{part}", 1, 1, width)


def channel_mix_4(t, name, width):
    for part in "kr":
        t.uniform(f"{name}.time_mix_{part}", 1, 1, width)
    t.matrix(f"{name}.receptance.weight", width, width, gain=0.7)


def time_mix_7(t, name, width, first):
    for part in "rwkvag":
        t.uniform(f"{name}.x_{part}", 1, 1, width)
    t.uniform(f"{name}.w0", 1, 1, width, low=-6, high=0)
    for part in "a" if first else "av":
        t.normal(f"{name}.{part}0", 1, 1, width, std=0.5)
    for part, rank in RANKS.items():
        if part == "v" and first:
            continue
        t.normal(f"{name}.{part}1", width, rank, std=(0.1 if part == "w" else 0.5) / math.sqrt(width))
        t.normal(f"{name}.{part}2", rank, width, std=0.1)
    t.normal(f"{name}.k_k", 1, 1, width, std=0.05, mean=0.85)
    t.normal(f"{name}.k_a", 1, 1, width, std=0.05, mean=1)
    t.normal(f"{name}.r_k", width // HEAD_SIZE, HEAD_SIZE, std=0.1)
    t.norm(f"{name}.ln_x")


def random_tensors(shape: Shape):
    t, width = RandomTensors(shape.width), shape.width
    t.normal("emb.weight", shape.vocab, width, std=0.3)
    for layer in range(shape.layers):
        block = f"blocks.{layer}"
        for norm in ("ln0", "ln1", "ln2") if layer == 0 else ("ln1", "ln2"):
            t.norm(f"{block}.{norm}")
        for part in ("receptance", "key", "value", "output"):
            t.matrix(f"{block}.att.{part}.weight", width, width, gain=0.6)
        if shape.version == 7:
            time_mix_7(t, f"{block}.att", width, first=layer == 0)
            t.uniform(f"{block}.ffn.x_k", 1, 1, width)
        else:
            time_mix_4(t, f"{block}.att", width)
            channel_mix_4(t, f"{block}.ffn", width)
        t.matrix(f"{block}.ffn.key.weight", 4 * width, width, gain=0.7)
        t.matrix(f"{block}.ffn.value.weight", width, 4 * width, gain=0.5)
    t.norm("ln_out")
    t.matrix("head.weight", shape.vocab, width, gain=1.0)
    return t.tensors


def random_checkpoint(name: str, folder: Path) -> Path:
    """The file of that shape in the folder, made where it is not there yet."""
    path = folder / f"{name}.pth"
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        torch.save(random_tensors(SHAPES[name]), unfinished)
        unfinished.rename(path)
    return path


def weights_read_for_a_token(path: Path) -> int:
    """All matrices once; of the embedding only a row."""
    tensors = torch.load(path, mmap=True, weights_only=True)
    return sum(t.numel() for name, t in tensors.items() if t.dim() == 2 and name != "emb.weight")
