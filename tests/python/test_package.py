"""Importing the package: what it says of itself, and of libraries that are missing or don't fit."""
import re
import shutil
import subprocess
import sys

import pytest
import torch
import wkv
from conftest import ROOT
from wkv._library import library_folder

IMPORT_TIME = "import time, torch; t = time.perf_counter(); import wkv; print((time.perf_counter() - t) * 1000)"


def python(*arguments, package=ROOT / "zoo/python", libraries=None):
    environment = {"PYTHONPATH": str(package)}
    if libraries:
        environment["WKV_LIBRARY_DIR"] = str(libraries)
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)


def import_error(package, libraries):
    done = python("-c", "import wkv", package=package, libraries=libraries)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: wkv")
    return last


@pytest.fixture
def copied_package(tmp_path):
    """The package alone, far from any build folder."""
    package = tmp_path / "python"
    shutil.copytree(ROOT / "zoo/python/wkv", package / "wkv", ignore=shutil.ignore_patterns("__pycache__"))
    return package


def test_the_version_is_the_librarys():
    (version,) = re.findall(r"project\(wkv VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())
    assert wkv.__version__ == version


def test_importing_it_takes_little_time(record_property):
    milliseconds = min(float(python("-c", IMPORT_TIME).stdout) for _ in range(3))
    record_property("import_wkv_ms", milliseconds)
    print(f"import wkv: {milliseconds:.0f} ms beyond torch")
    assert milliseconds > 0


def test_a_missing_library_is_told_with_the_folders_searched(copied_package, tmp_path):
    message = import_error(copied_package, tmp_path / "nowhere")
    assert f"no libwkv.so in {copied_package / 'wkv/lib'}, {tmp_path / 'nowhere'}" in message


@pytest.fixture
def libraries_for_another_torch(tmp_path):
    folder = tmp_path / "libraries"
    folder.mkdir()
    for library in library_folder().glob("*.so"):
        (folder / library.name).symlink_to(library)
    (folder / "torch_version.txt").write_text("2.99.0\n")
    return folder


OP_WITH_GRADIENT = """
import torch, wkv
x = torch.ones(1, 3, 2, 8, requires_grad=True)
torch.ops.wkv.wkv7(x, x, x, x, x, x)[0].sum().backward()
print(wkv.__version__, x.grad.shape == x.shape)
"""


def test_under_another_torch_the_ops_work(libraries_for_another_torch):
    done = python("-c", OP_WITH_GRADIENT, libraries=libraries_for_another_torch)
    assert done.stdout == f"{wkv.__version__} True\n" and done.stderr == ""


@pytest.mark.parametrize("call", ["load('embedded')", "tokenizer('bytes')", "State.cat([])"])
def test_under_another_torch_models_are_refused(libraries_for_another_torch, call):
    done = python("-c", f"import wkv; wkv.{call}", libraries=libraries_for_another_torch)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"RuntimeError: wkv: this is PyTorch {torch.__version__}, for which only wkv's operators")
    assert "2.99.0" in last


def test_a_broken_library_is_told(copied_package, tmp_path):
    (tmp_path / "libwkv.so").write_bytes(b"")
    shutil.copy(library_folder() / "torch_version.txt", tmp_path)
    assert "libwkv.so can't be loaded" in import_error(copied_package, tmp_path)


def test_an_old_torch_is_told(copied_package, tmp_path):
    (copied_package / "torch").mkdir()
    (copied_package / "torch/__init__.py").write_text("__version__ = '2.9.1+cpu'\n")
    assert "needs PyTorch 2.10 or newer, and this is 2.9.1+cpu" in import_error(copied_package, tmp_path)


def test_the_ops_are_documented():
    assert "The recurrence of RWKV-7" in wkv.ops.wkv7.__doc__


def test_info_names_versions_and_libraries():
    done = python("-m", "wkv.info", libraries=library_folder())
    assert done.returncode == 0 and done.stderr == ""
    cuda = torch.ops.wkv._cuda_architectures() or "not built"
    for text in (wkv.__version__, torch.__version__, str(library_folder()), torch.ops.wkv._cpu_isa(), cuda):
        assert text in done.stdout
