"""The choice of the kernels' instruction set."""

import os
import subprocess
import sys

import pytest
from op_cases import LIBRARY_DIR, ROOT

EVERY_OP = """
import torch
from op_cases import OP_CASES
for case in OP_CASES:
    case.op(*case.all_inputs())
print(torch.ops.wkv._cpu_isa())
"""


def call_in_new_process(isa):
    environment = {**os.environ, "WKV_CPU_ISA": isa, "WKV_LIBRARY_DIR": str(LIBRARY_DIR)}
    command = [sys.executable, "-c", EVERY_OP]
    return subprocess.run(command, env=environment, cwd=ROOT / "tests/python", capture_output=True, text=True)


def test_it_can_be_chosen():
    assert call_in_new_process("portable").stdout.strip() == "portable"


@pytest.mark.parametrize("isa", ["sse9", "AVX2", " "])
def test_an_unknown_one_is_refused(isa):
    result = call_in_new_process(isa)
    assert result.returncode != 0 and f'WKV_CPU_ISA must be portable, avx2 or avx512, got "{isa}"' in result.stderr
