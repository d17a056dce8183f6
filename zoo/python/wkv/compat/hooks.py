"""enable(package): a package's own models compute on wkv's operators, on a CPU or a GPU."""
import functools
import importlib
import operator
import sys
from collections.abc import Callable
from typing import Any

import torch

from wkv.compat import fla_models, transformers

# The name that Python imports -> the distribution's name, and what to replace: "module:path in it" -> replacement. First
# what becomes wkv's operators, then what plain PyTorch replaces, on a CPU only: on a GPU the package has its own kernels.
PACKAGES = {
    "fla": ("flash-linear-attention", fla_models.OPERATORS, fla_models.ON_CPU),
    "transformers": ("transformers", transformers.OPERATORS, {}),
}
_enabled: dict[str, list[tuple[Any, Any]]] = {}


def enable(package: str) -> None:
    """Makes a package's RWKV models run with wkv's operators, on a CPU and, where wkv was built with its CUDA kernels, on a
    GPU; on other devices they stay as they are.

    package: "fla" (flash-linear-attention: RWKV-6, RWKV-7) or "transformers" (RWKV-4). Call it before models are built,
    and before functions are imported out of the package; a second call does nothing.
    """
    if package not in PACKAGES:
        raise ValueError(f"wkv.compat.enable: {package!r} is none of {', '.join(map(repr, PACKAGES))}")
    if package in _enabled:
        return
    distribution, operators, on_cpu = PACKAGES[package]
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ImportError(f"wkv.compat.enable({package!r}) needs the package {distribution}", name=package) from None
    pairs = []
    for replacements, devices in ((operators, _devices()), (on_cpu, {"cpu"})):
        for path, replacement in replacements.items():
            original = _find(path, distribution)
            pairs.append((original, _on(devices, replacement, original)))
    _replace(package, pairs)
    _enabled[package] = pairs


def disable(package: str) -> None:
    """Undoes enable(package)."""
    _replace(package, [(replacement, original) for original, replacement in _enabled.pop(package, [])])


def _find(path: str, distribution: str) -> Any:
    module, name = path.split(":")
    try:
        return operator.attrgetter(name)(importlib.import_module(module))
    except (AttributeError, ModuleNotFoundError) as error:
        raise ImportError(f"wkv.compat does not know this version of {distribution}: {error}") from error


def _devices() -> set[str]:
    """Those that wkv's operators have kernels for."""
    return {"cpu", "cuda"} if torch.ops.wkv._cuda_architectures() else {"cpu"}


def _on(devices: set[str], replacement: Callable, original: Callable) -> Callable:
    @functools.wraps(original)
    def call(*args, **kwargs):
        tensor = next(x for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor))
        return (replacement if tensor.device.type in devices else original)(*args, **kwargs)

    return call


def _replace(package: str, pairs: list[tuple[Any, Any]]) -> None:
    """Wherever a loaded module of the package, or a class or table in one, holds the first, it gets the second."""
    new = {id(old): replacement for old, replacement in pairs}
    for name, module in list(sys.modules.items()):
        if module is None or name.split(".")[0] != package:
            continue
        for attribute, value in list(vars(module).items()):
            if id(value) in new:
                setattr(module, attribute, new[id(value)])
            elif type(value) is dict:
                value.update({key: new[id(x)] for key, x in value.items() if id(x) in new})
            elif isinstance(value, type) and value.__module__ == name:
                for member in [key for key, x in vars(value).items() if id(x) in new]:
                    setattr(value, member, new[id(vars(value)[member])])
