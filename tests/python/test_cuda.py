"""What the CUDA kernels promise beside what every op does (test_ops.py): the accuracy of each dtype and form, equal bits
from run to run, and on a GPU PyTorch's streams, devices, graphs and no waiting. With WKV_TEST_DEVICE=cuda, or cuda-on-host
for the first part; WKV_CUDA_FORM=recurrent or chunked forces a form."""

import ctypes
import subprocess
from pathlib import Path

import pytest
import torch
from op_cases import CUDA_ON_HOST, DEVICE, LIBRARY_DIR, OP_CASES, normal
from op_checks import assert_bits, gradients

every_op = pytest.mark.parametrize("case", OP_CASES, ids=str)
every_op_that_packs = pytest.mark.parametrize("case", [case for case in OP_CASES if case.packs], ids=str)
DECODING = [case for case in OP_CASES if hasattr(torch.ops.wkv, f"{case.name}_decode_")]
every_op_that_decodes = pytest.mark.parametrize("case", DECODING, ids=str)
# Of the largest element: outputs, gradients.
TOLERANCES = {
    torch.float64: (1e-12, 1e-11),
    torch.float32: (1e-5, 1e-4),
    torch.bfloat16: (2e-2, 4e-2),
    torch.float16: (4e-3, 1e-2),
}
# Whole chunks and what is left of them, compile-time sizes of heads and others.
SHAPES = [
    {"batch": 2, "time": 77, "heads": 2, "size": 64},
    {"batch": 1, "time": 130, "heads": 1, "size": 32},
    {"batch": 1, "time": 33, "heads": 2, "size": 20},
]


def relative_error(actual, expected):
    expected = expected.to(actual.device)
    scale = expected.abs().max().item() if expected.numel() else 0
    return 0 if scale == 0 else (actual.double() - expected).abs().max().item() / scale


def rounded(case, dtype, **sizes):
    """Inputs of the dtype, and the same numbers in fp64 on the CPU."""
    inputs = [x.detach().requires_grad_() for x in case.all_inputs(dtype=dtype, **sizes)]
    return inputs, [x.detach().double().cpu().requires_grad_() for x in inputs]


@pytest.mark.cuda
@pytest.mark.skipif(not CUDA_ON_HOST, reason="counts what runs on the host")
@every_op
def test_cuda_kernels_are_what_runs(case):
    launches = ctypes.CDLL(str(LIBRARY_DIR / "libwkv_cuda_on_host.so")).cuda_on_host_launches
    before = launches()
    inputs = case.all_inputs(requires_grad=True)
    outputs = case.op(*inputs)
    between = launches()
    gradients(case.op, inputs)
    assert outputs and before < between < launches()


@pytest.mark.cuda
@every_op
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"T{shape['time']}-N{shape['size']}")
def test_results_are_those_of_fp64(case, dtype, shape):
    inputs, exact = rounded(case, dtype, **shape)
    of_outputs, of_gradients = TOLERANCES[dtype]
    for actual, expected in zip(case.op(*inputs), case.op(*exact), strict=True):
        assert relative_error(actual, expected) <= of_outputs
    expected = gradients(case.op, exact)
    largest = max(x.abs().max().item() for x in expected)
    for x, y in zip(gradients(case.op, inputs), expected, strict=True):
        assert (x.double().cpu() - y).abs().max().item() <= of_gradients * max(y.abs().max().item(), 1e-3 * largest)


@pytest.mark.cuda
@every_op_that_packs
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_packed_sequences_are_what_they_are_alone(case, dtype):
    bounds = [0, 5, 5, 40, 77]
    arguments, _ = case.inputs(batch=1, time=77, size=32, dtype=dtype)
    _, states = case.inputs(batch=4, size=32, dtype=dtype)
    has_time = [dimension is not None for dimension in case.dimensions("time")[: len(arguments)]]
    packed = case.op(*arguments, *states, cu_seqlens=torch.tensor(bounds, device=DEVICE))
    for row, (first, last) in enumerate(zip(bounds, bounds[1:])):
        alone = case.op(
            *(x[:, first:last] if cut else x for x, cut in zip(arguments, has_time)), *(x[row : row + 1] for x in states)
        )
        for x, y in zip([packed[0][:, first:last], *(x[row : row + 1] for x in packed[1:])], alone, strict=True):
            assert x.shape == y.shape and relative_error(x, y.double()) <= TOLERANCES[dtype][0]


@pytest.mark.cuda
@every_op
def test_runs_have_equal_bits(case):
    inputs, _ = rounded(case, torch.float32, batch=3, time=100, heads=3, size=64)
    expected = case.op(*inputs), gradients(case.op, inputs)
    for _ in range(3):
        assert_bits(case.op(*inputs), expected[0])
        assert_bits(gradients(case.op, inputs), expected[1])


# --- PyTorch's device ---


@pytest.fixture
def no_waiting():
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


def large_inputs(case, **options):
    return case.all_inputs(batch=4, time=200, heads=4, size=64, **options)


@pytest.mark.gpu
@every_op
def test_nothing_waits_for_the_gpu(case, no_waiting):
    inputs = large_inputs(case, requires_grad=True)
    outputs = case.op(*inputs)
    torch.autograd.grad(outputs, inputs, [torch.ones_like(y) for y in outputs])


@pytest.mark.gpu
@every_op
def test_kernels_go_to_the_current_stream(case):
    """What the stream does before the call is done when the kernels read."""
    inputs = large_inputs(case)
    expected = case.op(*inputs)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        late = [torch.zeros_like(x) for x in inputs]
        torch.cuda._sleep(50_000_000)
        for x, y in zip(late, inputs):
            x.copy_(y)
        found = [y.clone() for y in case.op(*late)]
    torch.cuda.current_stream().wait_stream(stream)
    assert_bits(found, expected)


@pytest.mark.gpu
@every_op
def test_a_graph_replays_forward_and_backward(case):
    inputs = large_inputs(case, requires_grad=True)
    others = large_inputs(case, requires_grad=True, seed=1)

    def step():
        outputs = case.op(*inputs)
        return [*outputs, *torch.autograd.grad(outputs, inputs, [torch.ones_like(y) for y in outputs])]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        for x, y in zip(inputs, others):
            x.copy_(y)
    graph.replay()
    assert_bits([x.detach() for x in captured], [x.detach() for x in step()])


@pytest.mark.gpu
@every_op_that_decodes
def test_a_graph_replays_decoding(case):
    inputs = large_inputs(case)
    count = len(case.names)
    arguments = [x if d is None else x.select(d, 0).clone() for x, d in zip(inputs, case.dimensions("time")[:count])]
    pool = normal(8, *inputs[count].shape[1:]).to(inputs[count])
    slots = torch.tensor([5, 0, 3, 7], device=DEVICE)
    own = pool.clone()
    decode = getattr(torch.ops.wkv, f"{case.name}_decode_")
    decode(*arguments, own.clone(), slots)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = decode(*arguments, own, slots)
    own.copy_(pool)
    for _ in range(2):
        graph.replay()
    decode(*arguments, pool, slots)
    assert_bits([y, own], [decode(*arguments, pool, slots), pool])


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@every_op
def test_the_device_is_that_of_the_tensors(case):
    inputs = large_inputs(case)
    expected = case.op(*inputs)
    with torch.cuda.device(0):
        assert_bits([y.to(DEVICE) for y in case.op(*(x.to("cuda:1") for x in inputs))], expected)


# --- models ---


@pytest.mark.gpu
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (torch.bfloat16, 6e-2)], ids=str)
def test_a_model_gives_the_numbers_of_the_cpu(dtype, tolerance):
    wkv = pytest.importorskip("wkv", exc_type=ImportError)
    exact, ours = wkv.load("embedded", dtype=torch.float64), wkv.load("embedded", dtype=dtype, device="cuda")
    tokens = torch.randint(256, (2, 150), generator=torch.Generator().manual_seed(1))
    expected, state = exact(tokens)
    logits, ours_state = ours(tokens.cuda())
    assert relative_error(logits, expected) <= tolerance
    for name, x in ours_state.tensors().items():
        assert relative_error(x, state.tensors()[name]) <= tolerance
    pool = ours_state.clone()
    last = ours.decode(tokens[:, 0].cuda(), pool, torch.arange(2, device="cuda"))
    assert relative_error(last, exact(tokens[:, :1], state)[0][:, -1]) <= tolerance


@pytest.mark.gpu
def test_a_model_trains_as_on_the_cpu():
    wkv = pytest.importorskip("wkv", exc_type=ImportError)
    tokens = torch.randint(256, (2, 80), generator=torch.Generator().manual_seed(1))
    found = {}
    for device, dtype in (("cpu", torch.float64), ("cuda", torch.float32)):
        model = wkv.load("embedded", device=device, dtype=dtype)
        model.loss(tokens[:, :-1].to(device), tokens[:, 1:].to(device)).backward()
        found[device] = {name: p.grad for name, p in model.named_parameters().items() if p.grad is not None}
    assert found["cuda"].keys() == found["cpu"].keys()
    largest = max(x.abs().max().item() for x in found["cpu"].values())
    for name, expected in found["cpu"].items():
        difference = (found["cuda"][name].double().cpu() - expected).abs().max().item()
        assert difference <= 1e-3 * max(expected.abs().max().item(), 1e-3 * largest), name


# --- where there is no GPU ---


@pytest.mark.skipif(not torch.ops.wkv._cuda_architectures(), reason="built without CUDA kernels")
def test_every_op_has_its_kernels_where_they_are_built():
    names = [case.name for case in OP_CASES]
    names += [f"_{name}_backward" for name in names] + [f"{case.name}_decode_" for case in OP_CASES if case in DECODING]
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    assert not [name for name in names if not has(f"wkv::{name}", "CUDA")]


def test_the_kernels_need_no_library_of_cuda():
    """So the library loads under a PyTorch without CUDA, and without a driver."""
    needed = subprocess.run(["readelf", "-d", LIBRARY_DIR / "libwkv_kernels.so"], capture_output=True, text=True, check=True)
    names = [line.split("[")[1].rstrip("]") for line in needed.stdout.splitlines() if "(NEEDED)" in line]
    own = {"libtorch_cpu.so", "libc10.so", "libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6"}
    system = {"libpthread.so.0", "libdl.so.2", "librt.so.1", "ld-linux-x86-64.so.2"}
    assert set(names) <= own | system



def symbols(library, which):
    """Of PyTorch's C interface, which is all that the kernels use of it."""
    listed = subprocess.run(["nm", "-D", which, library], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1].split("@")[0] for line in listed.splitlines()}
    return {name for name in names if name.startswith(("aoti_torch_", "torch_"))}


def test_a_pytorch_without_cuda_has_every_symbol_that_the_kernels_need():
    needed = symbols(LIBRARY_DIR / "libwkv_kernels.so", "--undefined-only")
    assert needed and needed <= symbols(Path(torch.__path__[0]) / "lib/libtorch_cpu.so", "--defined-only")
