"""A hundred malformed calls of each op, of its backward and of its decode step: every one raises, names the op and an
argument, and leaves the arguments as they were."""

import random
import re
from dataclasses import dataclass, field

import pytest
import torch
from op_cases import IN_PYTHON, OP_CASES

pytestmark = pytest.mark.skipif(IN_PYTHON, reason="without the checks of meta tensors in C++")
LEAST_CALLS = 100
WRONG_BOUNDS = {
    "not from 0": [1, 2, 3, 6],
    "not to T": [0, 2, 3, 5],
    "beyond T": [0, 2, 3, 7],
    "decreasing": [0, 4, 2, 6],
    "negative": [0, -2, 3, 6],
    "huge": [0, 2, 2**40, 6],
    "hugely negative": [0, 2, -(2**62), 6],
    "of other rows": [0, 2, 6],
    "of none": [],
    "of two dimensions": [[0, 2, 3, 6]],
}
WRONG_SLOTS = ([4, 0, -1], [5, 0, 1], [4, 0, 4], [2**40, 0, 1], [0, -(2**62), 1])


@dataclass
class Op:
    """A call that is right, and what else can be said of how to make it wrong."""

    name: str
    keywords: dict
    free_sizes: tuple = ()  # (argument, dimension): those that may have any size
    free_types: tuple = ()  # the arguments that may have any floating-point dtype: no other has to have the same
    refused: dict = field(default_factory=dict)  # values that are errors, by argument
    checked_first: bool = True  # before the dispatcher looks for a kernel
    packed: dict = field(default_factory=dict)  # a right call of three sequences of six tokens in all

    @property
    def overload(self):
        return getattr(torch.ops.wkv, self.name).default

    @property
    def names(self):
        return [argument.name for argument in self.overload._schema.arguments]


def types_of_their_own(case):
    """The argument whose dtype no other one has to have, if there is one: the others may all be fp32."""
    names = set(case.names) - set(case.full_precision)
    return tuple(names) if len(names) == 1 else case.names if len(case.names) == 1 else ()


def forward_of(case):
    packed = {}
    if case.packs:
        arguments, states = case.inputs(batch=1, time=6)[0], case.inputs(batch=3)[1]
        packed = case.keywords([*arguments, *states])
    keywords = case.keywords(case.all_inputs())
    return Op(case.name, keywords, case.free_sizes, types_of_their_own(case), case.refused, packed=packed)


def backward_of(case):
    keywords = case.keywords(case.all_inputs())
    outputs = case.op(*case.all_inputs())
    op = Op(f"_{case.name}_backward", {}, case.free_sizes, (), case.refused, checked_first=False)
    defaults = {argument.name: argument.default_value for argument in case.overload._schema.arguments}
    op.keywords = dict(zip(op.names, outputs)) | {name: keywords.get(name, defaults[name]) for name in op.names[len(outputs) :]}
    return op


def decode_of(case):
    """The op's arguments without their time, and a pool for its state."""
    arguments, _ = case.inputs(batch=3, time=1)
    pool = case.inputs(batch=5)[1][0]
    times = case.dimensions("time")[: len(arguments)]
    rows = [x if time is None else x.select(time, 0) for x, time in zip(arguments, times)]
    keywords = dict(zip(case.names, rows)) | {"pool": pool, "slots": torch.tensor([4, 0, 2])}
    refused = {
        "slots": [torch.tensor(slots) for slots in WRONG_SLOTS],
        "pool": [pool.mT.contiguous().mT, pool[:1].expand_as(pool)],
    }
    return Op(f"{case.name}_decode_", keywords, (("pool", 0),), (), refused)


def decodes(case):
    name = f"wkv::{case.name}_decode_"
    return name in torch._C._dispatch_get_all_op_names() and torch._C._dispatch_has_kernel_for_dispatch_key(name, "CPU")


def wrong_tensors(x, free_sizes, free_type, alone):
    """(what is wrong, the tensor) for a tensor that fits; `free_sizes` are the dimensions that may have any size,
    `alone` is the only tensor of a call."""
    dtypes = [torch.int8, torch.uint8, torch.bool, torch.complex64]
    if not x.is_floating_point():
        dtypes += [torch.int32, torch.float32, torch.float64]
    elif not free_type:
        dtypes += [torch.float16, torch.bfloat16, torch.float64]
    yield from ((f"of {dtype}", x.to(dtype)) for dtype in dtypes)
    yield "of a dimension more", x[None]
    yield "of a dimension less", x[0]
    yield "of no dimension", x.flatten()[0]
    if not alone:
        yield "on another device", x.to("meta")
    yield "sparse", x.to_sparse()
    for dimension in set(range(x.ndim)) - free_sizes:
        yield f"with dimension {dimension} larger", torch.cat([x, x.narrow(dimension, 0, 1)], dimension)
        yield f"with dimension {dimension} smaller", x.narrow(dimension, 0, x.shape[dimension] - 1)
        one = x.narrow(dimension, 0, 1)
        yield f"with dimension {dimension} huge", one.expand(*(2**40 if i == dimension else n for i, n in enumerate(x.shape)))


def mistakes(op):
    """(argument, what is wrong, the value)"""
    tensors = {name: x for name, x in op.keywords.items() if isinstance(x, torch.Tensor)}
    for name, x in tensors.items():
        free = {dimension for argument, dimension in op.free_sizes if argument == name}
        for what, value in wrong_tensors(x, free, name in op.free_types, len(tensors) == 1):
            if op.checked_first or what != "sparse":
                yield name, what, value
    for argument in op.overload._schema.arguments:
        if str(argument.type) == "Tensor":
            yield argument.name, "None", None
    for name, values in op.refused.items():
        yield from ((name, f"{value}", value) for value in values)


def malformed_calls(op):
    """(description, keywords): every single mistake, then pairs of them until there are enough."""
    single = list(mistakes(op))
    calls = [(f"{name} {what}", op.keywords | {name: value}) for name, what, value in single]
    if op.packed:
        bounds = torch.tensor([0, 2, 3, 6])
        wrong = {what: torch.tensor(values, dtype=torch.int64) for what, values in WRONG_BOUNDS.items()}
        wrong |= {f"of {dtype}": bounds.to(dtype) for dtype in (torch.float32, torch.bool, torch.int16)}
        calls += [(f"cu_seqlens {what}", op.packed | {"cu_seqlens": value}) for what, value in wrong.items()]
        calls.append(("cu_seqlens with a batch", op.keywords | {"cu_seqlens": bounds}))
    choice = random.Random(0)
    while len(calls) < LEAST_CALLS:
        (name, what, value), (other, how, its) = choice.sample(single, 2)
        if name != other and what != how:  # alike, they could fit each other
            calls.append((f"{name} {what}, {other} {how}", op.keywords | {name: value, other: its}))
    return calls


def expect_refused(op):
    tensors = [x for x in [*op.keywords.values(), *op.packed.values()] if isinstance(x, torch.Tensor)]
    before = [x.clone() for x in tensors]
    for description, keywords in malformed_calls(op):
        try:
            op.overload(**keywords)
        except (RuntimeError, TypeError, ValueError) as error:
            message = str(error)
            assert op.name in message and re.search(rf"\b({'|'.join(op.names)})\b", message), f"{description}: {message}"
        else:
            pytest.fail(f"accepted: {description}")
    assert all(torch.equal(x, y) for x, y in zip(tensors, before))


@pytest.mark.parametrize("case", OP_CASES, ids=str)
def test_malformed_calls_are_refused_by_name(case):
    expect_refused(forward_of(case))


@pytest.mark.parametrize("case", OP_CASES, ids=str)
def test_malformed_calls_of_the_backward_are_refused_by_name(case):
    expect_refused(backward_of(case))


@pytest.mark.parametrize("case", [case for case in OP_CASES if decodes(case)], ids=str)
def test_malformed_calls_of_the_decode_step_are_refused_by_name(case):
    expect_refused(decode_of(case))
