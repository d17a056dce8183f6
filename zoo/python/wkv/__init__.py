"""RWKV and linear attention: operators, models and text generation for PyTorch.

    model, tokenizer = wkv.load("model.pth"), wkv.tokenizer("world")
    print(wkv.generate(model, tokenizer, "In the beginning"))
"""
from wkv._library import __version__, load_libraries as _load_libraries

_load_libraries()
