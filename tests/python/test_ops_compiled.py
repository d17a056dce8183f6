"""What every op of the table promises to PyTorch's compilers and exporters."""

import io
import re
import subprocess
from pathlib import Path

import pytest
import torch
from op_cases import IN_PYTHON, LIBRARY_DIR, OP_CASES
from op_checks import assert_close, gradients
from torch.fx.experimental.proxy_tensor import make_fx

every_op = pytest.mark.parametrize("case", OP_CASES, ids=str)
torch_script = pytest.mark.filterwarnings("ignore:.torch.jit")  # deprecated, and still supported by us
TOLERANCE = 1e-6


def assert_same(function, reference, inputs):
    """Outputs and gradients."""
    assert_close(function(*inputs), reference(*inputs), TOLERANCE)
    assert_close(gradients(function, inputs), gradients(reference, inputs), TOLERANCE)


def other_sizes(case):
    """What a graph made with the sizes of case.inputs() must serve too."""
    return {"batch": 3, "time": 9} if case.any_time else {"batch": 3}


class EveryOp(torch.nn.Module):
    """Calls every op once: compiling to native code is slow, so that is done for all ops together."""

    def __init__(self):
        super().__init__()
        self.cases = OP_CASES

    def forward(self, *inputs):
        outputs, inputs = [], list(inputs)
        for case in self.cases:
            count = len(case.names) + len(case.states)
            outputs += [y * 2 for y in case.op(*(x * 2 for x in inputs[:count]))]
            del inputs[:count]
        return tuple(outputs)

    def inputs(self, requires_grad=False):
        return [x for case in self.cases for x in case.all_inputs(requires_grad=requires_grad)]

    def other_inputs(self, requires_grad=False):
        return [x for case in self.cases for x in case.all_inputs(**other_sizes(case), requires_grad=requires_grad)]


# --- compile ---


@every_op
@pytest.mark.parametrize("dynamic", [False, True])
def test_compile(case, dynamic):
    torch._dynamo.reset()
    compiled = torch.compile(lambda *x: case.op(*x), fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for time in (4, 7):
        assert_same(compiled, case.op, case.all_inputs(time=time, requires_grad=True))


def test_compile_to_native_code():
    torch._dynamo.reset()
    module = EveryOp()
    compiled = torch.compile(module, fullgraph=True, dynamic=True)
    for inputs in (module.inputs, module.other_inputs):
        assert_same(compiled, module, inputs(requires_grad=True))


@every_op
def test_compiled_autograd(case):
    torch._dynamo.reset()
    inputs = case.all_inputs(requires_grad=True)
    expected = gradients(case.op, inputs)
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager", fullgraph=True)):
        found = gradients(case.op, inputs)
    assert_close(found, expected, TOLERANCE)


@every_op
def test_a_symbolic_graph_holds_the_op_and_its_backward(case):
    def call(*inputs):
        return gradients(case.op, inputs)

    inputs = case.all_inputs(batch=6, requires_grad=True)  # a size of its own: equal ones become one symbol
    graph = make_fx(call, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*inputs)
    targets = {str(node.target) for node in graph.graph.nodes}
    assert {f"wkv.{case.name}.default", f"wkv._{case.name}_backward.default"} <= targets
    inputs = case.all_inputs(**other_sizes(case), requires_grad=True)
    assert_close(graph(*inputs), call(*inputs), TOLERANCE)


# --- export ---


class Call(torch.nn.Module):
    """One call of an op as a module."""

    def __init__(self, case):
        super().__init__()
        self.op = case.op

    def forward(self, *inputs):
        return self.op(*inputs)


def export(module, cases):
    """With any batch and, where the op has it, any time."""
    shapes = []
    for case in cases:
        sizes = ("batch", "time") if case.any_time else ("batch",)
        symbols = [(torch.export.Dim(size), case.dimensions(size)) for size in sizes]
        for i in range(len(case.names) + len(case.states)):
            shapes.append({dims[i]: symbol for symbol, dims in symbols if dims[i] is not None})
    inputs = tuple(x for case in cases for x in case.all_inputs())
    return torch.export.export(module, inputs, dynamic_shapes={"inputs": tuple(shapes)})


@every_op
def test_export_with_any_batch_and_time(case, tmp_path):
    torch.export.save(export(Call(case), [case]), tmp_path / "op.pt2")
    loaded = torch.export.load(tmp_path / "op.pt2").module()
    inputs = case.all_inputs(**other_sizes(case))
    assert_close(loaded(*inputs), case.op(*inputs), TOLERANCE)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    file = tmp_path_factory.mktemp("package") / "ops.pt2"
    return torch._inductor.aoti_compile_and_package(export(EveryOp(), OP_CASES), package_path=str(file))


def test_package_of_native_code_in_python(package):
    module, loaded = EveryOp(), torch._inductor.aoti_load_package(package)
    inputs = module.other_inputs()
    assert_close(loaded(*inputs), module(*inputs), TOLERANCE)


@pytest.mark.skipif(IN_PYTHON, reason="a program without Python has the registration in C++")
def test_package_of_native_code_in_a_program_without_python(package, tmp_path):
    module = EveryOp()
    inputs = module.other_inputs()
    torch.save(inputs, tmp_path / "inputs.pt")
    program = LIBRARY_DIR.parent / "bin/run_package"
    environment = {"LD_LIBRARY_PATH": str(Path(torch.__path__[0]) / "lib")}  # a package needs PyTorch's own libraries
    subprocess.run([program, package, tmp_path / "inputs.pt", tmp_path / "outputs.pt"], check=True, env=environment)
    assert_close(torch.load(tmp_path / "outputs.pt"), module(*inputs), TOLERANCE)


# --- TorchScript ---


def saved_and_loaded(module):
    file = io.BytesIO()
    torch.jit.save(module, file)
    file.seek(0)
    return torch.jit.load(file)


@every_op
@torch_script
def test_trace_survives_saving(case):
    traced = saved_and_loaded(torch.jit.trace(lambda *x: case.op(*x), tuple(case.all_inputs())))
    inputs = case.all_inputs(**other_sizes(case), seed=1)
    assert_close(traced(*inputs), case.op(*inputs), TOLERANCE)


def script(case):
    """The op as a scripted method that takes all of its arguments."""
    arguments = case.overload._schema.arguments
    parameters = ", ".join(f"{a.name}: {re.sub('Tensor', 'torch.Tensor', str(a.type))}" for a in arguments)
    given = ", ".join(f"{a.name}={a.name}" for a in arguments)
    outputs = ", ".join(["torch.Tensor"] * len(case.overload._schema.returns))
    module = type(f"Call_{case}", (torch.jit.ScriptModule,), {})()
    result = f"Tuple[{outputs}]" if "," in outputs else outputs
    module.define(f"def forward(self, {parameters}) -> {result}:\n    return torch.ops.wkv.{case.name}({given})\n")
    return module


@every_op
@torch_script
def test_script_survives_saving(case):
    scripted = saved_and_loaded(script(case))
    arguments, states = case.inputs()
    for inputs in ([*arguments, *states], arguments):
        given = case.keywords(inputs)
        values = [given.get(a.name, a.default_value) for a in case.overload._schema.arguments]
        outputs = scripted(*values)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        assert_close(outputs, case.op(*inputs), TOLERANCE)
