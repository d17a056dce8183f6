"""A hundred malformed calls of each op: every one raises, and names the op and an argument."""

import random
import re

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


def wrong_tensors(x, free_sizes, any_float, any_device):
    """(what is wrong, the tensor) for a tensor that fits."""
    dtypes = [torch.int8, torch.uint8, torch.bool, torch.complex64]
    if not x.is_floating_point():
        dtypes += [torch.float32, torch.float64]
    elif not any_float:
        dtypes += [torch.float16, torch.bfloat16, torch.float64]
    yield from ((f"of {dtype}", x.to(dtype)) for dtype in dtypes)
    yield "of a dimension more", x[None]
    yield "of a dimension less", x[0]
    yield "of no dimension", x.flatten()[0]
    if not any_device:
        yield "on another device", x.to("meta")
    yield "sparse", x.to_sparse()
    for dimension in set(range(x.ndim)) - free_sizes:
        yield f"with dimension {dimension} larger", torch.cat([x, x.narrow(dimension, 0, 1)], dimension)
        yield f"with dimension {dimension} smaller", x.narrow(dimension, 0, x.shape[dimension] - 1)


def mistakes(case, keywords):
    """(argument, what is wrong, the value)"""
    tensors = {name: x for name, x in keywords.items() if isinstance(x, torch.Tensor)}
    with_io_dtype = set(case.names) - set(case.full_precision)
    for name, x in tensors.items():
        free_sizes = {dimension for argument, dimension in case.free_sizes if argument == name}
        any_float = len(tensors) == 1 or with_io_dtype == {name}
        wrong = wrong_tensors(x, free_sizes, any_float, any_device=len(tensors) == 1)
        yield from ((name, what, value) for what, value in wrong)
    for argument in case.overload._schema.arguments:
        if str(argument.type) == "Tensor":
            yield argument.name, "None", None
    for name, values in case.refused.items():
        yield from ((name, f"{value}", value) for value in values)


def malformed_calls(case):
    """(description, keywords): every single mistake, then pairs of them until there are enough."""
    keywords = case.keywords(case.all_inputs())
    single = list(mistakes(case, keywords))
    calls = [(f"{name} {what}", keywords | {name: value}) for name, what, value in single]
    if case.packs:
        arguments, _ = case.inputs(batch=1, time=6)
        _, states = case.inputs(batch=3)
        packed = case.keywords([*arguments, *states])
        bounds = torch.tensor([0, 2, 3, 6])
        wrong = {what: torch.tensor(values, dtype=torch.int64) for what, values in WRONG_BOUNDS.items()}
        wrong |= {f"of {dtype}": bounds.to(dtype) for dtype in (torch.float32, torch.bool, torch.int16)}
        calls += [(f"cu_seqlens {what}", packed | {"cu_seqlens": value}) for what, value in wrong.items()]
        calls.append(("cu_seqlens with a batch", keywords | {"cu_seqlens": bounds}))
    choice = random.Random(0)
    while len(calls) < LEAST_CALLS:
        (name, what, value), (other, how, its) = choice.sample(single, 2)
        if name != other and what != how:  # together they might fit
            calls.append((f"{name} {what}, {other} {how}", keywords | {name: value, other: its}))
    return calls


@pytest.mark.parametrize("case", OP_CASES, ids=str)
def test_malformed_calls_are_refused_by_name(case):
    names = "|".join(argument.name for argument in case.overload._schema.arguments)
    for description, keywords in malformed_calls(case):
        try:
            case.overload(**keywords)
        except (RuntimeError, TypeError, ValueError) as error:
            message = str(error)
            assert case.name in message and re.search(rf"\b({names})\b", message), f"{description}: {message}"
        else:
            pytest.fail(f"accepted: {description}")
