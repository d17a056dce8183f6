"""The install tree serves a CMake project outside of the repository."""
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command, status=0):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == status, done.stdout
    return done.stdout


def configure_consumer(prefix, folder, *options, status=0):
    return run("cmake", "-S", ROOT / "examples/cmake_consumer", "-B", folder, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}", *options, status=status)


@pytest.fixture(scope="session")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("install")
    run("cmake", "--install", ROOT / "build", "--prefix", folder / "first")
    return (folder / "first").rename(folder / "moved")


def test_the_consumer_project_runs_on_a_moved_install_tree(prefix, tmp_path):
    configure_consumer(prefix, tmp_path)
    run("cmake", "--build", tmp_path)
    assert len(run(tmp_path / "consumer")) > 50


def test_a_consumer_with_another_series_of_pytorch_is_told(prefix, tmp_path):
    torch = tmp_path / "torch"
    (torch / "lib").mkdir(parents=True)
    (torch / "version.py").write_text("__version__ = '2.99.0'\n")
    for library in ("libc10.so", "libtorch_cpu.so"):
        (torch / "lib" / library).touch()
    said = configure_consumer(prefix, tmp_path / "build", f"-DWKV_TORCH_ROOT={torch}", status=1)
    assert "this wkv was built with PyTorch 2." in said and "is 2.99.0" in " ".join(said.split())


def test_the_installed_program_runs(prefix):
    assert run(prefix / "bin/wkv", "--version").startswith("wkv ")


def test_every_public_header_is_installed(prefix):
    installed = {path.relative_to(prefix / "include") for path in prefix.glob("include/**/*.h")}
    public = {path.relative_to(layer / "include") for layer in map(ROOT.joinpath, ("extension", "models", "zoo")) for path in layer.glob("include/**/*.h")}
    assert installed == public


def test_the_package_does_not_refer_to_the_source_or_build_folder(prefix):
    for file in prefix.glob("**/*.cmake"):
        assert str(ROOT) + os.sep not in file.read_text().replace(str(ROOT / ".venv"), ""), file
