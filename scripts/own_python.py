"""Programs that need PyTorch and wkv run in the checkout's own Python, where there is one."""
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def go_on_in_it():
    """Starts this program again there, unless it runs there already."""
    own = ROOT / ".venv/bin/python"
    if own.exists() and Path(sys.prefix) != own.parents[1]:
        os.execv(own, [own, *sys.argv])
    sys.path.insert(0, str(ROOT / "tests/benchmark"))
