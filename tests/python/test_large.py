"""Tensors of more than 2^31 elements: offsets that don't fit into 32 bits. Takes 10 GB of memory and minutes; only with --full."""

import pytest
import torch
from op_cases import OP_CASES

pytestmark = pytest.mark.full


@pytest.mark.parametrize("name", ["wkv4", "wkv6", "wkv7", "bi_wkv", "q_shift", "short_conv"])
def test_the_last_row_of_a_batch_is_what_it_is_alone(name):
    op, (case,) = getattr(torch.ops.wkv, name), [case for case in OP_CASES if case.name == name]
    batch, time, heads, size = 1025, 1024, 32, 64
    shape = (batch, time, heads, size) if name in ("wkv5", "wkv6", "wkv7", "bi_wkv6") else (batch, time, heads * size)
    torch.manual_seed(0)
    x = torch.empty(shape, dtype=torch.bfloat16)  # serves as every sequence: six of them would not fit
    assert x.numel() > 2**31
    x[:-1] = 0
    x[-1] = torch.randn(shape[1:]) * 0.3
    parameters = {argument: torch.randn(heads * size if len(shape) == 3 else (heads, size)) for argument in "wu"}
    parameters["weight"] = torch.randn(heads * size, 1, 3, dtype=torch.bfloat16)
    of_time = ("w",) if name in ("wkv6", "wkv7", "bi_wkv6") else ()

    def call(sequences):
        arguments = [sequences if n in of_time or n not in parameters else parameters[n] for n in case.names if n != "bias"]
        outputs = op(*arguments, **({"height": 32, "width": 32} if name == "q_shift" else {}))
        return outputs[0] if isinstance(outputs, tuple) else outputs

    assert torch.equal(call(x)[-1], call(x[-1:])[0])
