"""What the internal ops of the models' layers promise to PyTorch; the numbers are tested in C++ (layer_ops_test.cpp)."""

import pytest
import torch
from op_cases import DEVICE, IN_PYTHON

pytestmark = pytest.mark.skipif(IN_PYTHON, reason="internal ops are registered in C++ only")
OPS = torch.ops.wkv


def inputs(dtype, requires_grad):
    """name -> (op, arguments, options), small."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(DEVICE, dtype).requires_grad_(requires_grad)

    batch, time, heads, size, mixes = 2, 3, 2, 4, 3
    sequence, head = (batch, time, heads * size), (batch, time, heads, size)
    norm = [normal(*head), normal(heads, size), normal(heads, size), normal(*head)]
    bonus = [normal(*head), normal(*head), normal(*head), normal(heads, size)]
    inputs = [*(normal(*head) for _ in range(3)), *(normal(heads, size) for _ in range(4))]
    value = [*(normal(*head) for _ in range(3)), normal(heads, size)]
    mix = [normal(*sequence), normal(batch, heads * size), normal(mixes, heads * size)]
    packed = [normal(1, 6, 8), normal(3, 8), normal(mixes, 8)]
    return {
        "mix_tokens": (OPS._mix_tokens.default, mix, {}),
        "mix_tokens_with_changes": (OPS._mix_tokens.default, [*mix, normal(mixes, *sequence)], {}),
        "mix_tokens_packed": (OPS._mix_tokens.default, packed, {"cu_seqlens": torch.tensor([0, 2, 2, 6])}),
        "mix_neighbours": (OPS._mix_neighbours.default, [mix[0], mix[2]], {"height": 1, "width": 2, "cls_tokens": 1}),
        "mix_neighbours_with_changes": (
            OPS._mix_neighbours.default,
            [mix[0], mix[2], normal(mixes, *sequence)],
            {"height": 3, "width": 1, "head_size": 4},
        ),
        "gated_head_norm": (OPS._gated_head_norm.default, norm, {"eps": 1e-3, "silu": True}),
        "gated_head_norm_with_bonus": (OPS._gated_head_norm.default, [*norm, *bonus], {"eps": 1e-3}),
        "wkv7_inputs": (OPS._wkv7_inputs.default, inputs, {}),
        "wkv7_inputs_with_value": (OPS._wkv7_inputs.default, [*inputs, *value], {}),
        "squared_relu": (OPS._squared_relu.default, [normal(*sequence)], {}),
    }


NAMES = pytest.mark.parametrize("name", inputs(torch.float32, False))


@NAMES
def test_gradients_are_those_of_finite_differences(name):
    op, arguments, options = inputs(torch.float64, True)[name]
    assert torch.autograd.gradcheck(lambda *x: op(*x, **options), arguments)


@NAMES
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("requires_grad", [False, True], ids=["inference", "training"])
def test_opcheck(name, dtype, requires_grad):
    op, arguments, options = inputs(dtype, requires_grad)[name]
    torch.library.opcheck(op, tuple(arguments), options)


@NAMES
def test_a_second_derivative_is_refused(name):
    op, arguments, options = inputs(torch.float64, True)[name]
    outputs = op(*arguments, **options)
    first = outputs[0] if isinstance(outputs, tuple) else outputs
    (gradient,) = torch.autograd.grad(first.square().sum(), arguments[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="not implemented"):
        torch.autograd.grad(gradient.sum(), arguments[:1])
