#!/usr/bin/env python3
"""Bits per byte of trained models in fp32, bf16, int8 and int4; and how many hidden units of their channel mixes are zero.

quantization.py [--checkpoints ../shared/checkpoints] [--bytes 65536] [MODEL ...]

Prints tables for docs/quantization.md. The text is the end of the King James Bible as the Debian package bible-kjv prints
it, which the embedded model was not trained on. Each model is converted to fp32 first, so that nothing but its matrices
differs. `prompt` reads the text at once: quantised matrices are unpacked, activations stay fp32. `decode` reads token by
token, where activations are rounded to 8 bits as well: the difference of the two is what that costs.
"""

import argparse
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import safetensors.torch
import torch
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "zoo/python"))
import wkv  # noqa: E402

STREAMS = 8  # sequences that are decoded together, each a part of the text
PIECE = 1024
# Trained on this text or on none at all, and with one token a byte.
MODELS = (
    "embedded",
    "tiny-rwkv-4v0-660k.safetensors",
    "tiny-rwkv-5v1-730k.pth",
    "tiny-rwkv-5v2-730k.safetensors",
    "tiny-rwkv-6v0-3m-dequant.bf16.pth",
    "tiny-rwkv-7v0-834k.safetensors",
)


def held_out_text(size):
    bible = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], capture_output=True, check=True).stdout
    return bible[-size:]


def tokens_of(text, name):
    """[STREAMS, T]: bytes; one of the models reads 16-bit code units."""
    if "6v0" in name:
        text = text.decode("ascii").encode("utf-16-le")
    tokens = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    return tokens[: len(tokens) // STREAMS * STREAMS].view(STREAMS, -1)


def bits(logits, targets):
    return torch.nn.functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="sum").item() / math.log(2)


def prompt_bits(model, tokens):
    total, state = 0.0, None
    for begin in range(0, tokens.shape[1] - 1, PIECE):
        targets = tokens[:, begin + 1 : begin + 1 + PIECE]
        logits, state = model(tokens[:, begin : begin + targets.shape[1]], state)
        total += bits(logits, targets)
    return total


def decode_bits(model, tokens):
    pool, slots = model.initial_state(STREAMS), torch.arange(STREAMS)
    return sum(bits(model.decode(tokens[:, t], pool, slots), tokens[:, t + 1]) for t in range(tokens.shape[1] - 1))


class CountZeros(TorchDispatchMode):
    """The part of what relu returns that is not zero, call by call: one a layer."""

    def __init__(self):
        super().__init__()
        self.density = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.relu.default:
            self.density.append(result.count_nonzero().item() / result.numel())
        return result


def report(name, source, text, folder):
    tokens = tokens_of(text, name)
    exact = folder / "exact.safetensors"
    safetensors.torch.save_file(wkv.load(source, dtype=torch.float32).state_dict(), exact)
    size = len(text)
    print(f"| {name.removesuffix('.safetensors').removesuffix('.pth')} ", end="")
    for dtype in (torch.float32, torch.bfloat16, "int8", "int4"):
        model = wkv.load(exact, dtype=dtype)
        forms = (prompt_bits,) if isinstance(dtype, torch.dtype) else (prompt_bits, decode_bits)
        for form in forms:
            print(f"| {form(model, tokens) / size:.4f} ", end="", flush=True)
    print("|")
    with torch.enable_grad(), CountZeros() as zeros:  # no fused kernel takes what needs gradients
        wkv.load(exact)(tokens[:1, :PIECE])
    return zeros.density


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    parser.add_argument("--checkpoints", type=Path, default=ROOT.parent / "shared/checkpoints")
    parser.add_argument("--bytes", type=int, default=65536)
    options = parser.parse_args()
    text = held_out_text(options.bytes)
    densities = {}
    print("| model | fp32 | bf16 | int8 prompt | int8 decode | int4 prompt | int4 decode |\n|---|---|---|---|---|---|---|")
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            source = name if name == "embedded" else options.checkpoints / name
            densities[name] = report(name, source, text, Path(folder))
    print("\nHidden units of the channel mix that are not zero, %, by layer:")
    for name, density in densities.items():
        print(f"{name}: {' '.join(f'{100 * share:.0f}' for share in density)}")


main()
