"""Each example in examples/python runs."""
import os
import subprocess
import sys

import pytest
from conftest import ROOT

EXAMPLES = sorted((ROOT / "examples/python").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "zoo/python")}
    done = subprocess.run([sys.executable, example], cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert len(done.stdout) > 100
