"""The registration in Python, for a PyTorch that the libraries were not built for, gives the bits of the one in C++: under
this PyTorch, and with the same binary under those that `scripts/test --full` installs."""

import os
import subprocess
import sys

import pytest
import torch
from op_cases import IN_PYTHON, LIBRARY_DIR, OP_CASES, ROOT, python_registration
from op_gradients import all_gradients

INTERPRETERS = [sys.executable, *map(str, sorted(ROOT.glob(".venv-torch-*/bin/python")))]
pytestmark = pytest.mark.skipif(IN_PYTHON, reason="compares with the registration in C++")


@pytest.fixture(scope="module")
def expected():
    return all_gradients()


def in_python(interpreter, file):
    environment = {**os.environ, "WKV_REGISTRATION": "python", "WKV_LIBRARY_DIR": str(LIBRARY_DIR)}
    command = [interpreter, "op_gradients.py", file]
    done = subprocess.run(command, env=environment, cwd=ROOT / "tests/python", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return torch.load(file)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_gradients_have_the_same_bits(interpreter, expected, tmp_path):
    found = in_python(interpreter, tmp_path / "gradients.pt")
    assert found.keys() == expected.keys() and len(found) >= 3 * len(OP_CASES)
    for name, tensors in expected.items():
        assert all(torch.equal(x, y) for x, y in zip(found[name], tensors, strict=True)), name


def test_every_op_has_a_registration_in_python():
    names = {name.removeprefix("wkv::") for name in torch._C._dispatch_get_all_op_names() if name.startswith("wkv::")}
    assert set(python_registration()._OPS) == {name for name in names if not name.startswith("_")}


def test_it_leaves_alone_what_is_registered_in_cpp():
    python_registration().register()
    for case in OP_CASES:
        assert "_register.py" not in torch._C._dispatch_dump(case.overload.name())
