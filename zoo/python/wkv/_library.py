"""Finds the compiled libraries and loads them, once: all of them, or for another PyTorch than they were built for the
operators' kernels alone, which fit every PyTorch since 2.10."""
import errno
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
    if _fits(folder):
        _load(folder / "libwkv.so")
    else:
        from wkv._register import register

        _load(folder / "libwkv_kernels.so")
        register()


def classes():
    """The models, tokenizers and generators of C++."""
    folder = library_folder()
    if not _fits(folder):
        raise RuntimeError(
            f"wkv: this is PyTorch {torch.__version__}, for which only wkv's operators are there: models need the "
            f"{built_for(folder)} that wkv was built for, or wkv built again with this one "
            "(pip install . --no-build-isolation)"
        )
    return torch.classes.wkv


def existing(path: str | os.PathLike) -> str:
    """The path as C++ takes it; a FileNotFoundError where nothing is."""
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return path


def _load(library: Path) -> None:
    try:
        torch.ops.load_library(library)
    except OSError as error:
        raise ImportError(f"wkv: {library} can't be loaded: {error}") from None


def _fits(folder: Path) -> bool:
    return _series(built_for(folder)) == _series(torch.__version__)


def _series(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2])
