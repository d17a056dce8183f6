"""Models as files that PyTorch runs without this package: TorchScript, and packages of AOTInductor.

    python -m wkv.export TRACED.pt OUT.pt2    # what `wkv export --to aoti` runs
"""
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from wkv.models import Model


def torchscript(
    model: Model, path: str | os.PathLike, *, batch: int = 1, block: int = 64, size: int | None = None
) -> None:
    """Writes a .pt file for `torch.jit.load`, whole or not at all; every method has computed the model's numbers.

    A language model's: initial_state() -> list of tensors, and forward(tokens [batch, T], state) -> (logits, state), any
    T, by way of prompt, which takes `block` tokens, and decode, which takes one. An image model's: forward and features;
    RWKV-CLIP's: encode_image, encode_text and forward. `size`: the images' height and width; None: as preprocessed.
    """
    model._handle.export_torchscript(os.fspath(path), batch, block, size or 0)


def aoti(model: Model, path: str | os.PathLike, *, batch: int = 1, block: int = 64, size: int | None = None) -> None:
    """Writes a .pt2 package of compiled graphs, whole or not at all. It takes minutes, and needs a C++ compiler.

    `torch._inductor.aoti_load_package(path)` is a language model's step by one token, f(tokens [batch, 1], *state) ->
    (logits, *state), another model's logits, features or image features; `torch._inductor.package.load_package(path,
    name)` is a language model's "prompt", which takes `block` tokens, and "initial_state", or RWKV-CLIP's "encode_text".
    """
    with tempfile.TemporaryDirectory() as folder:
        traced = Path(folder, "traced.pt")
        torchscript(model, traced, batch=batch, block=block, size=size)
        compile_traced(traced, path)


def compile_traced(traced: str | os.PathLike, path: str | os.PathLike) -> None:
    """From what `torchscript` wrote to what `aoti` writes."""
    from torch._inductor.package import package_aoti

    files = {"wkv.json": ""}
    module = torch.jit.load(traced, _extra_files=files)
    description = json.loads(files["wkv.json"])
    compiled = {name: _compile(*graph, description) for name, graph in _graphs(module, description).items()}
    temporary = f"{os.fspath(path)}.{os.getpid()}.tmp.pt2"
    try:
        with open(temporary, "x+b") as file:
            package_aoti(file, compiled)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


Graph = tuple[Callable, tuple[torch.Tensor, ...]]  # of tensors, one by one, to a tuple of tensors; such tensors


def _graphs(module: torch.jit.ScriptModule, sizes: dict) -> dict[str, Graph]:
    def stepping(method):
        def step(tokens, *state):
            logits, after = method(tokens, list(state))
            return (logits, *after)

        return step

    if "state" in sizes:
        state = module.initial_state()
        tokens = torch.zeros(sizes["batch"], sizes["block"], dtype=torch.int64)
        return {
            "model": (stepping(module.decode), (tokens[:, :1].clone(), *state)),
            "prompt": (stepping(module.prompt), (tokens, *state)),
            "initial_state": (lambda: tuple(module.initial_state()), ()),
        }
    images = torch.zeros(sizes["batch"], 3, sizes["image"], sizes["image"])
    if "context" in sizes:
        tokens = torch.zeros(sizes["batch"], sizes["context"], dtype=torch.int64)
        return {
            "model": (lambda images: (module.encode_image(images),), (images,)),
            "encode_text": (lambda tokens: (module.encode_text(tokens),), (tokens,)),
        }
    if hasattr(module, "forward"):
        return {"model": (lambda images: (module(images),), (images,))}
    return {"model": (lambda images: tuple(module.features(images)), (images,))}


def _compile(function: Callable, inputs: tuple[torch.Tensor, ...], description: dict) -> list[str]:
    from torch._inductor import aot_compile
    from torch.fx.experimental.proxy_tensor import make_fx

    # TorchScript's own optimisation compares constants, which nobody may do with what is being traced.
    with torch.no_grad(), torch.jit.optimized_execution(False):
        graph = make_fx(function)(*inputs)
        program = torch.export.export(graph, inputs)
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in description.items()}
    options = {"aot_inductor.package": True, "aot_inductor.metadata": metadata}
    return aot_compile(program.module(), inputs, options=options)


if __name__ == "__main__":
    compile_traced(*sys.argv[1:])
