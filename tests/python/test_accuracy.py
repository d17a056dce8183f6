"""What docs/accuracy.md measures errors against: the ops in float64 are their definitions, for decays of every strength."""

import sys

import pytest
import torch
from op_cases import ROOT
from op_checks import assert_close

sys.path.insert(0, str(ROOT / "tests/benchmark"))
import accuracy  # noqa: E402

CASES = [(case, decay) for case in accuracy.CASES for decay in (accuracy.DECAYS if case.decays else ["ordinary"])]


@pytest.mark.parametrize("case, decay", CASES, ids=lambda x: x if isinstance(x, str) else x.title)
def test_the_op_is_its_definition(case, decay):
    torch.manual_seed(0)
    inputs = case.make(19, accuracy.DECAYS[decay])
    weights = [torch.randn_like(x) for x in case.reference(*inputs)]
    found, expected = (accuracy.results(function, inputs, weights) for function in (case.ours, case.reference))
    assert_close(found, expected, 1e-9)
