"""RWKV and linear attention: operators, models, text generation and vision for PyTorch.

    model, tokenizer = wkv.load("model.pth"), wkv.tokenizer("world")
    print(wkv.generate(model, tokenizer, "In the beginning"))
"""
from wkv._library import load_library as _load_library

_load_library()

import torch as _torch

from wkv import compat, cuda, nn, ops, vision
from wkv.contrastive import contrastive_loss
from wkv.models import ClipModel, LanguageModel, Model, VisionModel, list_models, load
from wkv.state import State
from wkv.text import Tokenizer, generate, generate_batch, tokenizer
from wkv.vision import preprocess

__version__: str = _torch.ops.wkv._version()
__all__ = [
    "ClipModel",
    "LanguageModel",
    "Model",
    "State",
    "Tokenizer",
    "VisionModel",
    "compat",
    "contrastive_loss",
    "cuda",
    "generate",
    "generate_batch",
    "list_models",
    "load",
    "nn",
    "ops",
    "preprocess",
    "tokenizer",
    "vision",
]
