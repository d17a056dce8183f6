"""What the scripts that render images share: Pillow, the held-out part, Debian's packages, and a folder that appears when it is complete."""

import contextlib
import hashlib
import shutil
import subprocess
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


def installed_version(package):
    """Of a Debian package; None where it is not installed."""
    command = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Version}", package]
    try:
        status = subprocess.run(command, capture_output=True, text=True).stdout.split()
    except FileNotFoundError:
        raise SystemExit("the packages are Debian's: this needs dpkg and apt-get") from None
    return status[1] if status[:1] == ["installed"] else None


def files_of(package):
    listing = subprocess.run(["dpkg-query", "--listfiles", package], capture_output=True, text=True, check=True).stdout
    return [Path(line) for line in sorted(listing.splitlines())]


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
