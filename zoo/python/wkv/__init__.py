"""RWKV and linear attention: operators, models and text generation for PyTorch.

    model, tokenizer = wkv.load("model.pth"), wkv.tokenizer("world")
    print(wkv.generate(model, tokenizer, "In the beginning"))
"""
from wkv._library import load_library as _load_library

_load_library()

import torch as _torch

from wkv import compat, cuda, nn, ops
from wkv.contrastive import contrastive_loss
from wkv.models import Model, State, list_models, load
from wkv.text import Tokenizer, generate, generate_batch, tokenizer

__version__: str = _torch.ops.wkv._version()
__all__ = ["Model", "State", "Tokenizer", "compat", "contrastive_loss", "cuda", "generate", "generate_batch", "list_models", "load", "nn", "ops", "tokenizer"]
