"""Continues a text with what `wkv export embedded --to torchscript model.pt` wrote: no package but PyTorch.

    python torchscript.py libwkv_ops.so model.pt "In the beginning"
"""
import sys

import torch

library, file, text = sys.argv[1:]
torch.ops.load_library(library)
model = torch.jit.load(file)

state, tokens = model.initial_state(), torch.tensor([list(text.encode())])  # this model's tokens are bytes
with torch.no_grad():
    for _ in range(60):
        logits, state = model(tokens, state)
        tokens = logits[:, -1:].argmax(-1)
        print(chr(tokens.item()), end="")
