"""What every op of the table promises to PyTorch: gradients, tracing, compiling, exporting, autocast, clear errors."""

import io
import os
import subprocess
import sys

import pytest
import torch
from op_cases import LIBRARY_DIR, OP_CASES
from torch.utils.checkpoint import checkpoint

pytestmark = [
    pytest.mark.parametrize("case", OP_CASES, ids=str),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),  # deprecated, and still supported by us
]


def flatten_loss(outputs):
    return sum((x.double() * torch.linspace(-1, 1, x.numel(), dtype=torch.float64).view_as(x)).sum() for x in outputs)


def gradients(function, arguments, state):
    return torch.autograd.grad(flatten_loss(function(*arguments, state)), [*arguments, state])


def assert_same(actual, expected):
    for x, y in zip(actual, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-6)


# --- gradients ---


@pytest.mark.parametrize("output", ["y", "state", "both"])
@pytest.mark.parametrize("with_state", [True, False])
def test_gradients_are_those_of_finite_differences(case, with_state, output):
    arguments, state = case.inputs(batch=1, time=3, size=3, dtype=torch.float64, requires_grad=True)
    select = {"y": lambda o: o[0], "state": lambda o: o[1], "both": lambda o: o}[output]
    inputs = (*arguments, state) if with_state else tuple(arguments)
    used = inputs if output != "state" else inputs[1:]  # r (the first argument) does not reach the state
    assert torch.autograd.gradcheck(lambda *x: select(case.op(*inputs[: len(inputs) - len(x)], *x)), used)


def test_gradients_of_packed_sequences_are_those_of_finite_differences(case):
    arguments, _ = case.inputs(batch=1, time=6, size=3, dtype=torch.float64, requires_grad=True)
    _, state = case.inputs(batch=3, size=3, dtype=torch.float64, requires_grad=True)
    bounds = torch.tensor([0, 2, 2, 6])
    assert torch.autograd.gradcheck(lambda *x: case.op(*x, cu_seqlens=bounds), (*arguments, state))


def test_a_second_derivative_is_refused(case):
    arguments, state = case.inputs(dtype=torch.float64, requires_grad=True)
    first = torch.autograd.grad(case.op(*arguments, state)[0].square().sum(), arguments[2], create_graph=True)[0]
    with pytest.raises(RuntimeError, match="not implemented"):
        first.sum().backward()


def test_checkpointing_changes_nothing(case):
    arguments, state = case.inputs(requires_grad=True)
    expected = gradients(case.op, arguments, state)
    assert_same(gradients(lambda *x: checkpoint(case.op, *x, use_reentrant=False), arguments, state), expected)


def test_gradients_of_some_inputs_only(case):
    arguments, state = case.inputs(requires_grad=True)
    expected = gradients(case.op, arguments, state)
    for wanted in range(len(arguments)):
        own = [x.detach().requires_grad_(i == wanted) for i, x in enumerate(arguments)]
        flatten_loss(case.op(*own, state.detach())).backward()
        torch.testing.assert_close(own[wanted].grad, expected[wanted])
        assert all(x.grad is None for i, x in enumerate(own) if i != wanted)


# --- PyTorch's own conformity check ---


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_opcheck(case, dtype, requires_grad):
    arguments, state = case.inputs(dtype=dtype, requires_grad=requires_grad)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
    tolerances = {"rtol": 1e-3, "atol": 1e-3}
    torch.library.opcheck(case.op, (*arguments, state), test_utils=tests, **tolerances)
    torch.library.opcheck(case.op, tuple(arguments), test_utils=tests, **tolerances)


def test_opcheck_with_packed_sequences(case):
    arguments, _ = case.inputs(batch=1, time=6, requires_grad=True)
    torch.library.opcheck(case.op, tuple(arguments), {"cu_seqlens": torch.tensor([0, 2, 6])})


# --- compile, export, script ---


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile(case, dynamic):
    torch._dynamo.reset()
    compiled = torch.compile(lambda *x: case.op(*x), fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for time in (4, 7):
        arguments, state = case.inputs(time=time, requires_grad=True)
        assert_same(compiled(*arguments, state), case.op(*arguments, state))
        assert_same(gradients(compiled, arguments, state), gradients(case.op, arguments, state))


def test_compile_to_native_code(case):
    torch._dynamo.reset()
    compiled = torch.compile(lambda *x: case.op(*(y * 2 for y in x)), fullgraph=True, dynamic=True)
    arguments, state = case.inputs(requires_grad=True)
    assert_same(compiled(*arguments, state), case.op(*(x * 2 for x in arguments), state * 2))
    assert_same(gradients(compiled, arguments, state), gradients(lambda *x: case.op(*(y * 2 for y in x)), arguments, state))


class Call(torch.nn.Module):
    """One call of an op as a module."""

    def __init__(self, case):
        super().__init__()
        self.op = case.op

    def forward(self, arguments: list[torch.Tensor], state: torch.Tensor):
        return self.op(*arguments, state)


def test_export_with_dynamic_batch_and_time(case, tmp_path):
    arguments, state = case.inputs()
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time")
    shapes = {"arguments": [{0: batch, 1: time}] * len(arguments), "state": {0: batch}}
    program = torch.export.export(Call(case), (arguments, state), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "op.pt2")
    loaded = torch.export.load(tmp_path / "op.pt2").module()
    arguments, state = case.inputs(batch=3, time=9)
    assert_same(loaded(arguments, state), case.op(*arguments, state))


def test_trace_survives_saving(case):
    arguments, state = case.inputs()
    traced = torch.jit.trace(lambda *x: case.op(*x), (*arguments, state))
    file = io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    arguments, state = case.inputs(time=8, seed=1)
    assert_same(torch.jit.load(file)(*arguments, state), case.op(*arguments, state))


def test_script_survives_saving(case):
    names = ", ".join(f"{n}: torch.Tensor" for n in case.names)
    unit = torch.jit.CompilationUnit(
        f"def call({names}, state: Optional[torch.Tensor]) -> Tuple[torch.Tensor, torch.Tensor]:\n"
        f"    return torch.ops.wkv.{case.name}({', '.join(case.names)}, state)\n"
    )
    arguments, state = case.inputs()
    assert_same(unit.call(*arguments, state), case.op(*arguments, state))
    assert_same(unit.call(*arguments, None), case.op(*arguments))


# --- autocast, meta, inference ---


def test_autocast_casts_all_but_decay_and_state(case):
    arguments, state = case.inputs(requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y, after = case.op(*arguments, state)
    assert y.dtype == torch.bfloat16 and after.dtype == torch.float32
    cast = [x if n in case.full_precision else x.bfloat16() for n, x in zip(case.names, arguments)]
    assert_same((y, after), case.op(*cast, state))
    flatten_loss((y, after)).backward()
    assert all(x.grad.dtype == torch.float32 for x in arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_meta_tensors_give_the_real_shapes(case, dtype):
    arguments, state = case.inputs(dtype=dtype)
    real = case.op(*arguments, state)
    meta = case.op(*(x.to("meta") for x in arguments), state.to("meta"))
    for x, y in zip(meta, real):
        assert x.is_meta and (x.shape, x.dtype, x.stride()) == (y.shape, y.dtype, y.stride())


def test_inference_mode(case):
    arguments, state = case.inputs()
    expected = case.op(*arguments, state)
    with torch.inference_mode():
        assert_same(case.op(*(x.clone() for x in arguments), state.clone()), expected)


# --- errors ---


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_wrong_shape_is_a_runtime_error_that_begins_with_the_op(case, device):
    arguments, state = case.inputs()
    arguments = [x.to(device) for x in arguments]
    arguments[2] = arguments[2][..., :-1]
    with pytest.raises(RuntimeError, match=rf"^{case.name}: {case.names[2]} must have shape .* got \["):
        case.op(*arguments, state.to(device))


def test_none_for_a_tensor_is_refused(case):
    arguments, state = case.inputs()
    for i in range(len(arguments)):
        with pytest.raises((RuntimeError, TypeError)):
            case.op(*arguments[:i], None, *arguments[i + 1 :], state)


# --- the choice of kernels ---


def call_in_new_process(case, isa):
    code = f"import op_cases; c = op_cases.OP_CASES[{OP_CASES.index(case)}]; a, s = c.inputs(); c.op(*a, s); import torch; print(torch.ops.wkv._cpu_isa())"
    environment = {**os.environ, "WKV_CPU_ISA": isa, "WKV_LIBRARY_DIR": str(LIBRARY_DIR)}
    return subprocess.run([sys.executable, "-c", code], env=environment, cwd=os.path.dirname(__file__), capture_output=True, text=True)


def test_the_instruction_set_can_be_chosen(case):
    assert call_in_new_process(case, "portable").stdout.strip() == "portable"


def test_an_unknown_instruction_set_is_refused(case):
    result = call_in_new_process(case, "sse9")
    assert result.returncode != 0 and 'WKV_CPU_ISA must be portable, avx2 or avx512, got "sse9"' in result.stderr
