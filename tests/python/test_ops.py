"""What every op of the table promises to PyTorch in eager mode: gradients, conformity, autocast, any sizes and layouts,
clear errors. What it promises to compilers and exporters is in test_ops_compiled.py."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from op_cases import DEVICE, IN_PYTHON, OP_CASES, normal
from op_checks import assert_bits, assert_close, gradients, loss
from torch.utils.checkpoint import checkpoint


def ops_that(promise):
    return pytest.mark.parametrize("case", [case for case in OP_CASES if promise(case)], ids=str)


every_op = ops_that(lambda case: True)
every_op_that_packs = ops_that(lambda case: case.packs)
every_op_with_a_state = ops_that(lambda case: case.states)
every_op_that_decodes = ops_that(lambda case: hasattr(torch.ops.wkv, f"{case.name}_decode_"))


# --- gradients ---


def assert_gradients(call, inputs):
    """Of each output alone and of all together, against finite differences."""
    for output in range(len(call(*inputs))):
        assert torch.autograd.gradcheck(lambda *x: call(*x)[output], inputs), f"gradients of output {output}"
    assert torch.autograd.gradcheck(call, inputs)


SMALL = {"batch": 1, "size": 3, "dtype": torch.float64, "requires_grad": True}


@every_op
def test_gradients_are_those_of_finite_differences(case):
    arguments, states = case.inputs(time=3, **SMALL)
    assert_gradients(case.op, arguments)
    if states:
        assert_gradients(case.op, [*arguments, *states])


@every_op_that_packs
def test_gradients_of_packed_sequences_are_those_of_finite_differences(case):
    arguments, _ = case.inputs(time=6, **SMALL)
    _, states = case.inputs(**SMALL | {"batch": 3})
    bounds = torch.tensor([0, 2, 2, 6])
    assert_gradients(lambda *x: case.op(*x, cu_seqlens=bounds), [*arguments, *states])


@every_op
def test_a_second_derivative_is_refused(case):
    inputs = case.all_inputs(dtype=torch.float64, requires_grad=True)
    first = torch.autograd.grad(case.op(*inputs)[0].square().sum(), inputs[0], create_graph=True)[0]
    with pytest.raises(RuntimeError, match="not implemented"):
        first.sum().backward()


@every_op
def test_checkpointing_changes_nothing(case):
    inputs = case.all_inputs(requires_grad=True)
    expected = gradients(case.op, inputs)
    assert_bits(gradients(lambda *x: checkpoint(case.op, *x, use_reentrant=False), inputs), expected)


@every_op
def test_gradients_of_some_inputs_only(case):
    inputs = case.all_inputs(requires_grad=True)
    expected = gradients(case.op, inputs)
    for wanted in range(len(inputs)):
        own = [x.detach().requires_grad_(i == wanted) for i, x in enumerate(inputs)]
        loss(case.op(*own)).backward()
        assert_bits([own[wanted].grad], [expected[wanted]])
        assert all(x.grad is None for i, x in enumerate(own) if i != wanted)


# --- PyTorch's own conformity check ---

CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")


@every_op
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_opcheck(case, dtype):
    for requires_grad in (True, False):
        arguments, states = case.inputs(batch=1, time=3, dtype=dtype, requires_grad=requires_grad)
        for inputs in ([*arguments, *states], arguments)[: 2 if states else 1]:
            torch.library.opcheck(
                case.overload, (), case.keywords(inputs), test_utils=CHECKS, rtol=1e-3, atol=1e-3
            )


@every_op_that_packs
def test_opcheck_with_packed_sequences(case):
    arguments, _ = case.inputs(batch=1, time=6, requires_grad=True)
    torch.library.opcheck(case.overload, (), case.keywords(arguments) | {"cu_seqlens": torch.tensor([0, 2, 6])})


# --- autocast, meta, inference ---


@every_op
def test_autocast_casts_all_but_decays_and_fp32_states(case):
    arguments, states = case.inputs(requires_grad=True)
    with torch.autocast(DEVICE, torch.bfloat16):
        outputs = case.op(*arguments, *states)
    cast = [x if name in case.full_precision else x.bfloat16() for name, x in zip(case.names, arguments)]
    cast += [x.bfloat16() for x in states] if case.states_have_io_dtype else states
    assert (outputs[0].dtype == torch.bfloat16) == (set(case.names) != set(case.full_precision))
    assert_bits(outputs, case.op(*cast))
    loss(outputs).backward()
    assert all(x.grad.dtype == torch.float32 for x in arguments)


@every_op
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_meta_tensors_give_the_real_shapes(case, dtype):
    inputs = case.all_inputs(dtype=dtype)
    for meta, real in zip(case.op(*(x.to("meta") for x in inputs)), case.op(*inputs), strict=True):
        assert meta.is_meta
        assert (meta.shape, meta.dtype, meta.stride()) == (real.shape, real.dtype, real.stride())


@every_op
def test_inference_mode(case):
    inputs = case.all_inputs()
    expected = case.op(*inputs)
    with torch.inference_mode():
        assert_bits(case.op(*(x.clone() for x in inputs)), expected)


# --- layouts and sizes ---


@every_op
def test_layouts_change_nothing(case):
    inputs = case.all_inputs(requires_grad=True)
    transposed = [x.detach().mT.contiguous().mT if x.ndim > 1 else x.detach() for x in inputs]
    sliced = [torch.stack([x.detach(), x.detach()], dim=-1)[..., 0] for x in inputs]
    for other in (transposed, sliced):
        other = [x.requires_grad_() for x in other]
        assert not all(x.is_contiguous() for x in other)
        assert_bits(case.op(*other), case.op(*inputs))
        assert_bits(gradients(case.op, other), gradients(case.op, inputs))


@every_op
def test_expanded_inputs_are_those_that_they_show(case):
    expanded = [x[:1].expand_as(x) for x in case.all_inputs(batch=3)]
    assert_bits(case.op(*expanded), case.op(*(x.clone() for x in expanded)))


@every_op
@pytest.mark.parametrize("size", [{"batch": 0}, {"time": 0}, {"batch": 0, "time": 0}], ids=str)
def test_nothing_in_gives_nothing_out(case, size):
    inputs = case.all_inputs(**size, requires_grad=True)
    outputs = case.op(*inputs)
    meta = case.op(*(x.to("meta") for x in inputs))
    assert [x.shape for x in outputs] == [x.shape for x in meta] and outputs[0].numel() == 0
    assert all(gradient.isfinite().all() for gradient in gradients(case.op, inputs))


LENGTHS = [1, 15, 16, 17, 100_000]


@every_op
@pytest.mark.parametrize("time", LENGTHS)
def test_fp32_is_fp64_rounded_at_every_length(case, time):
    inputs = case.all_inputs(batch=1, time=time, heads=1)
    exact = case.op(*(x.double() for x in inputs))
    assert_close([x.double() for x in case.op(*inputs)], exact, 1e-4)


@every_op_with_a_state
@pytest.mark.parametrize("time", LENGTHS)
def test_a_sequence_can_be_cut(case, time):
    arguments, states = case.inputs(batch=1, time=time, heads=1, dtype=torch.float64)
    whole, *expected = case.op(*arguments, *states)
    pieces, has_time = [], [dimension is not None for dimension in case.dimensions("time")]
    for part in (slice(0, time // 2), slice(time // 2, time)):
        y, *states = case.op(*(x[:, part] if cut else x for x, cut in zip(arguments, has_time)), *states)
        pieces.append(y)
    assert_close([torch.cat(pieces, dim=1), *states], [whole, *expected], 1e-12)


@every_op
def test_threads_do_not_disturb_one_another(case):
    inputs = [case.all_inputs(time=33, seed=seed, requires_grad=True) for seed in range(8)]
    expected = [gradients(case.op, x) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        for found, gradient in zip(pool.map(lambda x: gradients(case.op, x), inputs * 4), expected * 4, strict=True):
            assert_bits(found, gradient)


# --- decoding ---


def decode(case, inputs):
    """The decode op on one step's arguments, a pool of states and the slots of its rows; and what the op itself says."""
    count = len(case.names)
    arguments = [x if d is None else x.select(d, 0) for x, d in zip(inputs, case.dimensions("time")[:count])]
    pool = normal(7, *inputs[count].shape[1:]).to(inputs[count])
    return arguments, pool, torch.tensor([5, 0, 3], device=DEVICE)


@pytest.fixture
def decode_op(case):
    return getattr(torch.ops.wkv, f"{case.name}_decode_").default


@every_op_that_decodes
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_decoding_is_a_step_of_the_op_in_place(case, decode_op, dtype):
    inputs = case.all_inputs(batch=3, time=1, dtype=dtype)
    arguments, pool, slots = decode(case, inputs)
    y, states = case.op(*inputs[: len(case.names)], pool[slots])
    expected = pool.index_copy(0, slots, states)
    assert_close([decode_op(*arguments, pool, slots), pool], [y[:, 0], expected], 1e-6 if dtype != torch.bfloat16 else 1e-2)


@every_op_that_decodes
def test_decoding_conforms(case, decode_op):
    arguments, pool, slots = decode(case, case.all_inputs(batch=3, time=1))
    torch.library.opcheck(decode_op, (*arguments, pool, slots), test_utils=CHECKS)


@every_op_that_decodes
def test_decoding_changes_what_a_gradient_needed(case, decode_op):
    arguments, pool, slots = decode(case, case.all_inputs(batch=3, time=1))
    factor = torch.ones((), requires_grad=True)
    before = (pool * factor).sum()
    decode_op(*arguments, pool, slots)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        before.backward()


@every_op_that_decodes
def test_decoding_in_inference_mode(case, decode_op):
    arguments, pool, slots = decode(case, case.all_inputs(batch=3, time=1))
    with torch.inference_mode():
        own = pool.clone()
        y = decode_op(*arguments, own, slots)
    assert_bits([y, own], [decode_op(*arguments, pool, slots), pool])


@every_op_that_decodes
def test_decoding_compiled_writes_into_the_pool(case, decode_op):
    torch._dynamo.reset()
    compiled = torch.compile(lambda *x: decode_op(*x) * 2, fullgraph=True, backend="aot_eager")
    arguments, pool, slots = decode(case, case.all_inputs(batch=3, time=1))
    own = pool.clone()
    assert_bits([compiled(*arguments, own, slots)], [decode_op(*arguments, pool, slots) * 2])
    assert_bits([own], [pool])


@every_op_that_decodes
def test_decoding_under_autocast_keeps_the_pool(case, decode_op):
    arguments, pool, slots = decode(case, case.all_inputs(batch=3, time=1))
    with torch.autocast(DEVICE, torch.bfloat16):
        y = decode_op(*arguments, pool, slots)
    assert y.dtype == torch.bfloat16 and pool.dtype == torch.float32


# --- errors ---


def tensor_arguments(case):
    return [a for a in case.overload._schema.arguments if str(a.type) == "Tensor"]


@every_op
@pytest.mark.parametrize("device", [
    DEVICE, pytest.param("meta", marks=pytest.mark.skipif(IN_PYTHON, reason="the meta functions in Python check nothing")),
])
def test_a_wrong_shape_is_a_runtime_error_that_begins_with_the_op(case, device):
    inputs = [x.to(device) for x in case.all_inputs()]
    for i, name in enumerate(case.names):
        if case.dimensions("time")[i] is None:
            continue
        wrong = [*inputs[:i], inputs[i][None], *inputs[i + 1 :]]
        with pytest.raises(RuntimeError, match=rf"^{case.name}: {name} must have .*, got shape \["):
            case.op(*wrong)


@every_op
def test_none_for_a_tensor_is_refused(case):
    keywords = case.keywords(case.all_inputs())
    for argument in tensor_arguments(case):
        with pytest.raises((RuntimeError, TypeError)):
            case.overload(**keywords | {argument.name: None})
