#!python
"""The command `wkv` of the wheel: runs the package's program on the PyTorch of this Python, without importing either."""
import os
import sys
from importlib.util import find_spec

wkv, torch = (find_spec(package).submodule_search_locations[0] for package in ("wkv", "torch"))
paths = [os.path.join(torch, "lib"), os.environ.get("LD_LIBRARY_PATH")]
os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, paths))
os.environ.setdefault("WKV_PYTHON", sys.executable)  # `wkv export --to aoti` runs it
program = os.path.join(wkv, "bin", "wkv")
os.execv(program, [program, *sys.argv[1:]])
