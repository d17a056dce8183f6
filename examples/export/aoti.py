"""Continues a text with what `wkv export embedded --to aoti model.pt2` compiled: no package but PyTorch.

    python aoti.py libwkv_ops.so model.pt2 "In the beginning"
"""
import sys

import torch
from torch._inductor.package import load_package

library, file, text = sys.argv[1:]
torch.ops.load_library(library)
step, prompt = load_package(file), load_package(file, "prompt")
block = int(prompt.get_metadata()["block"])

state, tokens = load_package(file, "initial_state")(), torch.tensor([list(text.encode())])  # this model's tokens are bytes
while tokens.shape[1] >= block:
    logits, *state = prompt(tokens[:, :block].clone(), *state)
    tokens = tokens[:, block:]
for t in range(tokens.shape[1]):
    logits, *state = step(tokens[:, t : t + 1].clone(), *state)
for _ in range(60):
    token = logits[:, -1:].argmax(-1)
    print(chr(token.item()), end="")
    logits, *state = step(token, *state)
