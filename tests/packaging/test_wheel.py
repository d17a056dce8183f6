"""The wheel works in an environment that holds nothing but PyTorch."""
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def run(*command, cwd=ROOT):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", ".", "--no-build-isolation", "--no-deps",
        "--config-settings=build-dir=build-wheel",
        "--config-settings=cmake.define.WKV_CUDA=OFF",  # the kernels take minutes, and are tested where they are built
        "--wheel-dir", folder)
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="session")
def environment(wheel, tmp_path_factory):
    """The bin folder of a new environment that sees this one's PyTorch through a path file."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder)
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "torch.pth").write_text(str(Path(torch.__path__[0]).parent) + "\n")
    run(folder / "bin/python", "-m", "pip", "install", "--no-deps", "--no-index", wheel)
    return folder / "bin"


def test_it_serves_every_python_3(wheel):
    assert wheel.name.endswith("-py3-none-linux_x86_64.whl")


def test_it_holds_the_package_its_libraries_and_its_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"wkv/__init__.py", "wkv/bin/wkv"} <= set(names)
    libraries = {"libwkv.so", "libwkv_kernels.so", "libwkv_ops.so", "torch_version.txt"}
    assert {os.path.basename(name) for name in names if name.startswith("wkv/lib/")} == libraries
    assert {os.path.basename(name) for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}
    assert {name.split("/")[0].rsplit(".", 1)[-1] for name in names} == {"wkv", "dist-info", "data"}


def test_it_imports_and_an_op_runs(environment, tmp_path):
    program = "import torch, wkv; x = torch.ones(1, 3, 2, 8); print(list(torch.ops.wkv.wkv7(x, x, x, x, x, x)[0].shape), wkv.__file__)"
    shape, _, file = run(environment / "python", "-c", program, cwd=tmp_path).strip().rpartition(" ")
    assert shape == "[1, 3, 2, 8]" and Path(file).is_relative_to(environment.parent)


def test_its_command_runs(environment, tmp_path):
    assert run(environment / "wkv", "--version", cwd=tmp_path).startswith("wkv ")
