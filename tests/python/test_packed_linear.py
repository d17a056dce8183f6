"""What the internal ops of decoding promise to PyTorch; the numbers are tested in C++ ({packed,thin}_linear_test.cpp)."""

import pytest
import torch
from op_cases import IN_PYTHON

pytestmark = pytest.mark.skipif(IN_PYTHON, reason="internal ops are registered in C++ only")
CHECKS = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")


@pytest.fixture(params=["int8", "int4"])
def packed(request):
    torch.manual_seed(0)
    return torch.ops.wkv._pack_linear(torch.randn(37, 70), request.param)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_opcheck(packed, dtype):
    x, bias = torch.randn(2, 3, 70, dtype=dtype), torch.randn(37)
    torch.library.opcheck(torch.ops.wkv._packed_linear.default, (x, packed, bias), test_utils=CHECKS)


@pytest.mark.parametrize("format", ["int8", "int4"])
def test_opcheck_of_packing(format):
    weight = torch.randn(37, 70)
    torch.library.opcheck(torch.ops.wkv._pack_linear.default, (weight, format), test_utils=CHECKS[:2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_opcheck_of_thin_products(dtype):
    x, weight, bias = torch.randn(2, 3, 70, dtype=dtype), torch.randn(37, 70, dtype=dtype), torch.randn(37)
    torch.library.opcheck(torch.ops.wkv._thin_linear.default, (x, weight, bias), test_utils=CHECKS)


def test_compile(packed):
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: torch.ops.wkv._packed_linear(x * 2, packed) + 1, fullgraph=True, backend="aot_eager")
    for rows in (1, 5):
        x = torch.randn(rows, 70)
        assert torch.equal(compiled(x), torch.ops.wkv._packed_linear(x * 2, packed) + 1)


def test_autocast_casts_x(packed):
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.ops.wkv._packed_linear(torch.randn(2, 70), packed).dtype == torch.bfloat16
