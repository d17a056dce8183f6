"""Finds the compiled libraries and loads them, once, when they fit the running PyTorch."""
import os
from pathlib import Path

import torch

OLDEST_TORCH = (2, 10)


def library_folder() -> Path:
    """The folder of libwkv.so: inside of an installed package, $WKV_LIBRARY_DIR, or the build folder of a checkout."""
    package = Path(__file__).resolve().parent
    folders = [package / "lib", package.parents[2] / "build" / "lib"]
    if "WKV_LIBRARY_DIR" in os.environ:
        folders.insert(1, Path(os.environ["WKV_LIBRARY_DIR"]))
    for folder in folders:
        if (folder / "libwkv.so").exists():
            return folder
    searched = ", ".join(map(str, folders))
    raise ImportError(
        f"wkv: no libwkv.so in {searched}: build it (scripts/setup), or name its folder in WKV_LIBRARY_DIR"
    )


def built_for(folder: Path) -> str:
    """The version of PyTorch that the libraries in this folder were built for."""
    return (folder / "torch_version.txt").read_text().strip()


def load_library() -> None:
    if _series(torch.__version__) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        raise ImportError(f"wkv needs PyTorch {oldest} or newer, and this is {torch.__version__}")
    folder = library_folder()
    if _series(built_for(folder)) != _series(torch.__version__):
        raise ImportError(
            f"wkv was built for PyTorch {built_for(folder)}, and this is {torch.__version__}: install that one, "
            "or build wkv again with this one (pip install . --no-build-isolation)"
        )
    try:
        torch.ops.load_library(folder / "libwkv.so")
    except OSError as error:
        raise ImportError(f"wkv: {folder / 'libwkv.so'} can't be loaded: {error}") from None


def _series(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2])
