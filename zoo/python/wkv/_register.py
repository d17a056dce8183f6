"""Shapes without data, gradients and autocast of the operators, for a PyTorch that libwkv_ops.so was not built for.

It says in Python what extension/core/autograd.h says in C++, from the schemas and a table; only for operators that have
no C++ registration. All that it needs of PyTorch is there since 2.10.
"""
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

_library = torch.library.Library("wkv", "IMPL")
_AUTOCAST = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU) | torch._C.DispatchKeySet(
    torch._C.DispatchKey.AutocastCUDA
)
# The tensor arguments that are no numbers to compute with, and have no gradient.
_INDICES = {"cu_seqlens", "past_length", "slots", "spatial_shapes", "level_start_index"}


# --- what differs from operator to operator ---


@dataclass(frozen=True)
class _Op:
    # From the arguments, by name, to the outputs, without their data.
    outputs: Callable[[SimpleNamespace], Tensor | tuple[Tensor, ...]]
    # What autocast leaves alone: decays and fp32 states.
    full_precision: tuple[str, ...] = ()


def _like(x: Tensor) -> Tensor:
    return x.new_empty(x.shape)


def _state(x: Tensor, cu_seqlens: Tensor | None, *shape: int) -> Tensor:
    """One row a sequence; fp32, or fp64 for fp64 sequences."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return x.new_empty((_rows(x, cu_seqlens), *shape), dtype=dtype)


def _rows(x: Tensor, cu_seqlens: Tensor | None) -> int:
    return x.shape[0] if cu_seqlens is None else cu_seqlens.shape[0] - 1


def _wkv4(a):
    return _like(a.k), _state(a.k, a.cu_seqlens, 3, a.k.shape[2])


def _matrix_state(a):
    return _like(a.v), _state(a.k, a.cu_seqlens, a.k.shape[2], a.v.shape[3], a.k.shape[3])


def _based(a):
    heads, size = a.q.shape[2:]
    features = 1 + size + size * size
    kv_state = _state(a.q, a.cu_seqlens, heads, a.v.shape[3], features)
    return _like(a.v), kv_state, _state(a.q, a.cu_seqlens, heads, features)


def _sliding_window(a):
    past = 0 if a.past_k is None else a.past_k.shape[1]
    length = a.keys_back + 1
    if a.cu_seqlens is None:
        length = torch.sym_min(length, past + a.k.shape[1])
    shape = (_rows(a.k, a.cu_seqlens), length, *a.k.shape[2:])
    return _like(a.v), a.k.new_empty(shape), a.v.new_empty(shape)


def _short_conv(a):
    return _like(a.x), _state(a.x, a.cu_seqlens, a.x.shape[2], a.weight.shape[2])


def _ms_deform_attn(a):
    batch, _, heads, size = a.value.shape
    return a.value.new_empty((batch, a.sampling_locations.shape[1], heads * size))


_OPS = {
    "wkv4": _Op(_wkv4, ("w", "u", "state")),
    "wkv5": _Op(_matrix_state, ("w", "u", "state")),
    "wkv6": _Op(_matrix_state, ("w", "u", "state")),
    "wkv7": _Op(_matrix_state, ("w", "state")),
    "wkv4_decode_": _Op(lambda a: _like(a.v), ("w", "u", "pool")),
    "wkv5_decode_": _Op(lambda a: _like(a.v), ("w", "u", "pool")),
    "wkv6_decode_": _Op(lambda a: _like(a.v), ("w", "u", "pool")),
    "wkv7_decode_": _Op(lambda a: _like(a.v), ("w", "pool")),
    "bi_wkv": _Op(lambda a: _like(a.v), ("w", "u")),
    "bi_wkv6": _Op(lambda a: _like(a.v), ("w", "u")),
    "q_shift": _Op(lambda a: _like(a.x), ("x",)),
    "based_linear_attention": _Op(_based, ("kv_state", "k_state")),
    "sliding_window_attention": _Op(_sliding_window),
    "short_conv": _Op(_short_conv, ("weight", "bias", "state")),
    "ms_deform_attn": _Op(_ms_deform_attn, ("sampling_locations", "attention_weights")),
}


# --- what is the same for all ---


def register() -> None:
    for name, op in _OPS.items():
        overload = getattr(torch.ops.wkv, name).default
        if not _registered(overload, "Meta"):
            torch.library.register_fake(overload, _shapes(overload, op.outputs))
        for device in ("cpu", "cuda"):
            key = f"Autocast{device.upper()}"
            if not _registered(overload, key):
                _library.impl(overload, _autocast(overload, device, op.full_precision), key)
        if _registered(overload, "Autograd"):
            continue
        if overload._schema.is_mutable:
            _library.impl(overload, _without_gradient(overload), "Autograd", with_keyset=True)
            _library.impl(overload, _counting_changes(overload), "ADInplaceOrView", with_keyset=True)
            continue
        backward = getattr(torch.ops.wkv, f"_{name}_backward").default
        _library.impl(overload, _with_gradient(overload, backward), "Autograd", with_keyset=True)
        _library.impl(backward, _without_gradient(backward), "Autograd", with_keyset=True)
        torch.library.register_fake(backward, _shapes_of_gradients(overload))


def _registered(overload, key: str) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(overload.name(), key)


def _differentiable(overload) -> list[int]:
    """The positions of the arguments that have a gradient."""
    arguments = overload._schema.arguments
    return [i for i, a in enumerate(arguments) if "Tensor" in str(a.type) and a.name not in _INDICES]


def _values(overload, args: tuple, kwargs: dict) -> list:
    """Every argument in the schema's order: PyTorch leaves out those that have their default."""
    missing = overload._schema.arguments[len(args) :]
    return [*args, *(kwargs.get(a.name, a.default_value) for a in missing)]


def _split(overload, values: list) -> tuple[list, dict]:
    """Every argument in the schema's order as a call takes them."""
    keywords = {a.name: value for a, value in zip(overload._schema.arguments, values) if a.kwarg_only}
    return values[: len(values) - len(keywords)], keywords


def _shapes(overload, outputs):
    def fake(*args, **kwargs):
        names = [a.name for a in overload._schema.arguments]
        return outputs(SimpleNamespace(**dict(zip(names, _values(overload, args, kwargs)))))

    return fake


def _shapes_of_gradients(overload):
    """Of the backward operator: it takes the outputs' gradients, then the arguments."""

    def fake(*args):
        values = args[len(overload._schema.returns) :]
        found = [values[i] for i in _differentiable(overload)]
        gradients = tuple(args[0].new_empty(0) if x is None else _like(x) for x in found)
        return gradients if len(gradients) > 1 else gradients[0]

    return fake


def _autocast(overload, device: str, full_precision: tuple[str, ...]):
    names = [a.name for a in overload._schema.arguments]

    def cast(name, x):
        kept = not isinstance(x, Tensor) or not x.is_floating_point() or x.dtype == torch.float64
        return x if kept or name in full_precision else x.to(torch.get_autocast_dtype(device))

    def call(*args, **kwargs):
        values = [cast(name, x) for name, x in zip(names, _values(overload, args, kwargs))]
        positional, keywords = _split(overload, values)
        with torch._C._ExcludeDispatchKeyGuard(_AUTOCAST):
            return overload(*positional, **keywords)

    return call


def _below_autograd(overload, keyset, values: list):
    positional, keywords = _split(overload, values)
    with torch._C._AutoDispatchBelowAutograd():
        return overload.redispatch(keyset & torch._C._after_autograd_keyset, *positional, **keywords)


def _autograd(overload, function):
    def call(keyset, *args, **kwargs):
        values = _values(overload, args, kwargs)
        if torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in values):
            return function.apply(keyset, *values)
        return _below_autograd(overload, keyset, values)

    return call


def _with_gradient(overload, backward_overload):
    differentiable = _differentiable(overload)

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, keyset, *values):
            ctx.save_for_backward(*(x if isinstance(x, Tensor) else None for x in values))
            ctx.others = [None if isinstance(x, Tensor) else x for x in values]
            return _below_autograd(overload, keyset, values)

        @staticmethod
        def backward(ctx, *gradients):
            values = [other if x is None else x for x, other in zip(ctx.saved_tensors, ctx.others)]
            found = backward_overload(*gradients, *values)
            found = found if isinstance(found, tuple) else (found,)
            by_position = {i: x for i, x in zip(differentiable, found) if values[i] is not None}
            return None, *(by_position.get(i) for i in range(len(values)))

    return _autograd(overload, Function)


def _without_gradient(overload):
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, keyset, *values):
            return _below_autograd(overload, keyset, values)

        @staticmethod
        def backward(ctx, *gradients):
            raise NotImplementedError(f"derivative for {overload.name()} is not implemented")

    return _autograd(overload, Function)


def _counting_changes(overload):
    written = [i for i, a in enumerate(overload._schema.arguments) if a.is_write]

    def call(keyset, *args):
        torch.autograd.graph.increment_version([args[i] for i in written if not args[i].is_inference()])
        with torch._C._AutoDispatchBelowADInplaceOrView():
            return overload.redispatch(keyset & torch._C._after_ADInplaceOrView_keyset, *args)

    return call
