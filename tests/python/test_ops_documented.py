"""Every op is a documented function of wkv.ops with the schema's signature."""

import inspect
import re

import pytest
import torch
import wkv

NAMES = sorted(
    name.removeprefix("wkv::")
    for name in torch._C._dispatch_get_all_op_names()
    if name.startswith("wkv::") and not name.startswith("wkv::_")
)
PYTHON_TYPES = {
    "Tensor": "Tensor",
    "Optional[Tensor]": "Tensor | None",
    "bool": "bool",
    "int": "int",
    "float": "float",
    "Optional[float]": "float | None",
}


def schema(name):
    return getattr(torch.ops.wkv, name).default._schema


def test_there_are_no_other_functions():
    assert sorted(name for name, _ in inspect.getmembers(wkv.ops, inspect.isfunction)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_signature_is_that_of_the_schema(name):
    parameters = inspect.signature(getattr(wkv.ops, name)).parameters.values()
    for parameter, argument in zip(parameters, schema(name).arguments, strict=True):
        assert parameter.name == argument.name
        assert (parameter.kind is parameter.KEYWORD_ONLY) == argument.kwarg_only
        assert inspect.formatannotation(parameter.annotation).replace("torch.", "") == PYTHON_TYPES[str(argument.type)]
        assert (parameter.default is parameter.empty) == (not argument.has_default_value())
        assert not argument.has_default_value() or parameter.default == argument.default_value


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_names_every_tensor_and_the_outputs(name):
    text = inspect.getdoc(getattr(wkv.ops, name))
    assert "->" in text
    if name not in ("wkv6",) and not name.endswith("_decode_"):  # those say what differs from another op
        described = {a.name for a in schema(name).arguments if "Tensor" in str(a.type)} - {"cu_seqlens"}
        assert all(re.search(rf"\b{argument}\b", text) for argument in described)


@pytest.mark.parametrize("name", NAMES)
def test_it_passes_every_argument_on(name):
    """Each argument, given a value of its own, arrives at the op under its own name."""
    arguments = [a.name for a in schema(name).arguments]
    given, received = {argument: object() for argument in arguments}, {}

    def op(*positional, **keywords):
        received.update(zip(arguments, positional), **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.ops.wkv, name, op)
        getattr(wkv.ops, name)(**given)
    assert received == given
