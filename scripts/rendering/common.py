"""What the scripts that render images share: Pillow, the held-out part, and a folder that appears when it is complete."""

import contextlib
import hashlib
import shutil
from pathlib import Path


def require_pillow():
    try:
        import PIL
    except ImportError:
        raise SystemExit("rendering needs Pillow: pip install pillow") from None
    return PIL.__version__


def is_held_out(name, part):
    """The same names on every machine, whatever other names there are."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < part * 2**32


@contextlib.contextmanager
def new_folder(path: Path):
    """Yields a folder beside it that becomes it at the end; what an earlier, killed call left is removed."""
    if path.exists():
        raise SystemExit(f"{path} is there already: remove it, or choose another folder")
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    partial.rename(path)
