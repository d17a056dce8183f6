#!/usr/bin/env python3
"""Writes docs/accuracy.md: errors of the ops' outputs, states and gradients, beside those of other implementations.

accuracy.py [--library build/lib/libwkv_ops.so] [--time 256]

Peers that are not installed are left out and named: flash-linear-attention (its reference functions; the package
flash-linear-attention with einops) and ggml (the package llama-cpp-python).
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import ggml
import references
import torch

ROOT = Path(__file__).resolve().parents[2]
B, H, N = 2, 2, 64
INTRODUCTION = """# Accuracy

<!-- Written by tests/benchmark/accuracy.py. -->

How far outputs, states and gradients are from the definition of the op, evaluated token by token in float64
(`tests/benchmark/references.py`) on the same, already rounded inputs: the largest difference, divided by the largest
element of the tensor in float64. A result that is right but for its own rounding to bf16 is up to 2e-3 away. `nan` and `inf`
are results that are not finite where the definition is. A gradient is of the sum of all outputs and states, each element
with a random weight.

- **fla**: the functions that flash-linear-attention gives as the reference of its kernels, differentiated by PyTorch.
- **ggml**: the op inside of llama.cpp; it has neither gradients nor bf16.
- `-`: it does not have that.{missing}

Decays: *ordinary* ones as trained models have them, *strong* ones that forget within a token, *weak* ones that forget nothing
in {time} tokens, and *mixed*: all of these side by side. Those of bi_wkv have either sign: strong ones let the far end of the
sequence weigh e^1000 times the near one, and a float32 exponent of that size is rounded by 1e-4. Batch {B}, {time} tokens, {H} heads of {N}, PyTorch {torch}, kernels for
{isa}. Written by `python tests/benchmark/accuracy.py`.
"""


def normal(*shape, scale=0.5, mean=0.0):
    return torch.randn(*shape, dtype=torch.float64) * scale + mean


def ordinary(*shape):
    return normal(*shape, mean=-2.5, scale=1)


def strong(*shape):
    return normal(*shape, mean=4, scale=2)


def weak(*shape):
    return normal(*shape, mean=-16, scale=4)


def mixed(*shape):
    return torch.stack([kind(*shape) for kind in (ordinary, strong, weak)]).gather(0, torch.randint(3, (1, *shape)))[0]


DECAYS = {"ordinary": ordinary, "strong": strong, "weak": weak, "mixed": mixed}


@dataclass(frozen=True)
class Case:
    """An op and how to call it; an implementation takes the inputs in the order of `names` and gives all outputs."""

    name: str
    names: tuple[str, ...]  # of the inputs
    outputs: tuple[str, ...]
    make: Callable  # (time, decay) -> inputs, float64
    fixed: dict = field(default_factory=dict)
    of_reference: dict = field(default_factory=dict)  # the same for the reference
    full_precision: tuple[str, ...] = ()  # beside bf16
    decays: bool = True
    fla: Callable | None = None
    ggml: bool = False

    @property
    def title(self):
        stateless = self.name == "based_linear_attention" and "kv_state" not in self.names
        return f"{self.name}, from the empty state" if stateless else self.name

    def ours(self, *inputs):
        outputs = getattr(torch.ops.wkv, self.name)(**dict(zip(self.names, inputs)), **self.fixed)
        return (outputs if isinstance(outputs, tuple) else (outputs,))[: len(self.outputs)]

    def reference(self, *inputs):
        return getattr(references, self.name)(*inputs, **self.of_reference)[: len(self.outputs)]


# --- inputs ---


def channels(time, decay):
    C = H * N
    state = torch.stack([normal(B, C), normal(B, C).abs() + 0.5, normal(B, C)], 1)
    return decay(C), normal(C), normal(B, time, C, scale=2), normal(B, time, C), state


def bi_channels(time, decay):
    """The decay a token is exp(-w), and w comes divided by the number of tokens, as its model does."""
    C = H * N
    w = decay(C).exp() * normal(C, scale=1).sign()
    return w * 8 / time, normal(C), normal(B, time, C, scale=2), normal(B, time, C)


def heads(time):
    return normal(B, time, H, N)


def constant_decay(time, decay):
    return heads(time), heads(time), heads(time), decay(H, N), normal(H, N), normal(B, H, N, N)


def token_decay(time, decay):
    return heads(time), heads(time), heads(time), decay(B, time, H, N), normal(H, N), normal(B, H, N, N)


def delta_rule(time, decay):
    unit = torch.nn.functional.normalize(heads(time), dim=-1)
    rate = torch.sigmoid(heads(time))
    return heads(time), decay(B, time, H, N), heads(time), heads(time), -unit, unit * rate, normal(B, H, N, N)


def based(time, _):
    d, features = 16, 1 + 16 + 256
    before = torch.randn(B, H, 32, features, dtype=torch.float64).abs()
    q, k = normal(B, time, H, d, scale=1), normal(B, time, H, d, scale=1)
    return q, k, heads(time), normal(B, H, N, features), before.sum(2)


def window(time, _):
    return heads(time), heads(time), heads(time), normal(B, 16, H, N), normal(B, 16, H, N)


def convolution(time, _):
    C, K = H * N, 4
    return normal(B, time, C), normal(C, 1, K), normal(C), normal(B, C, K)


def deformable(time, _):
    places = 8 * 8 + 4 * 4
    location, weight = torch.rand(B, time, H, 2, 4, 2, dtype=torch.float64), normal(B, time, H, 2, 4)
    return normal(B, places, H, N), location, torch.softmax(weight.flatten(3), -1).view_as(weight)


# --- flash-linear-attention: heads before tokens, [key, value] states, log decays ---


def heads_first(*tensors):
    return [x.transpose(1, 2) for x in tensors]


def fla_wkv6(r, k, v, w, u, state):
    from fla.ops.rwkv6.recurrent_naive import naive_recurrent_rwkv6

    inputs = heads_first(r, k, v, -torch.exp(w.float()))
    y, state = naive_recurrent_rwkv6(*inputs, u, scale=1.0, initial_state=state.mT, output_final_state=True)
    return y.transpose(1, 2), state.mT


def fla_wkv7(r, w, k, v, a, b, state):
    from fla.ops.generalized_delta_rule.dplr.naive import dplr_recurrence

    r = r * r.shape[-1] ** 0.5  # it scales
    y, state = dplr_recurrence(*heads_first(r, k, v, a, b, -torch.exp(w.float())), initial_state=state.mT)
    return y.transpose(1, 2), state.mT


def fla_based(q, k, v):
    from fla.ops.based.naive import naive_parallel_based

    return (naive_parallel_based(*heads_first(q, k, v)).transpose(1, 2),)


def fla_available():
    try:
        from fla.ops.rwkv6 import recurrent_naive  # noqa: F401

        return True
    except ImportError:
        return False


CASES = [
    Case("wkv4", ("w", "u", "k", "v", "state"), ("y", "state"), channels, full_precision=("w", "u", "state")),
    Case("wkv5", ("r", "k", "v", "w", "u", "state"), ("y", "state"), constant_decay, full_precision=("w", "u", "state")),
    Case(
        "wkv6",
        ("r", "k", "v", "w", "u", "state"),
        ("y", "state"),
        token_decay,
        full_precision=("w", "u", "state"),
        fla=fla_wkv6,
        ggml=True,
    ),
    Case(
        "wkv7",
        ("r", "w", "k", "v", "a", "b", "state"),
        ("y", "state"),
        delta_rule,
        full_precision=("w", "state"),
        fla=fla_wkv7,
        ggml=True,
    ),
    Case("bi_wkv", ("w", "u", "k", "v"), ("y",), bi_channels, full_precision=("w", "u")),
    Case("bi_wkv6", ("r", "k", "v", "w", "u"), ("y",), lambda *x: token_decay(*x)[:5], full_precision=("w", "u")),
    Case(
        "based_linear_attention",
        ("q", "k", "v", "kv_state", "k_state"),
        ("y", "kv_state", "k_state"),
        based,
        full_precision=("kv_state", "k_state"),
        decays=False,
    ),
    Case(
        "based_linear_attention",
        ("q", "k", "v"),
        ("y",),
        lambda *x: based(*x)[:3],
        fixed={"eps": 1e-6},
        of_reference={"eps": 1e-6},
        decays=False,
        fla=fla_based,
    ),
    Case(
        "sliding_window_attention",
        ("q", "k", "v", "past_k", "past_v"),
        ("y", "window_k", "window_v"),
        window,
        fixed={"keys_back": 31},
        of_reference={"keys_back": 31},
        decays=False,
    ),
    Case(
        "short_conv",
        ("x", "weight", "bias", "state"),
        ("y", "state"),
        convolution,
        fixed={"silu": True},
        full_precision=("weight", "bias", "state"),
        decays=False,
    ),
    Case(
        "ms_deform_attn",
        ("value", "sampling_locations", "attention_weights"),
        ("y",),
        deformable,
        fixed={"spatial_shapes": torch.tensor([[8, 8], [4, 4]]), "level_start_index": torch.tensor([0, 64])},
        of_reference={"spatial_shapes": torch.tensor([[8, 8], [4, 4]])},
        full_precision=("sampling_locations", "attention_weights"),
        decays=False,
    ),
]


# --- errors ---


def results(function, inputs, weights):
    """Outputs, then gradients."""
    inputs = [x.detach().requires_grad_() for x in inputs]
    outputs = function(*inputs)
    loss = sum((x.double() * weight).sum() for x, weight in zip(outputs, weights))
    return [*outputs, *torch.autograd.grad(loss, inputs)]


def error(found, expected):
    if not found.isfinite().all():
        return "nan" if found.isnan().any() else "inf"
    return f"{((found.double() - expected).abs().max() / expected.abs().max()).item():.1e}"


def measure(case, decay, time, with_fla, with_ggml):
    """{column: [error of each output, then of each gradient]}"""
    torch.manual_seed(0)
    made = case.make(time, decay)
    found = {}
    for dtype, column in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
        types = [torch.float32 if name in case.full_precision else dtype for name in case.names]
        inputs = [x.to(type_) for x, type_ in zip(made, types)]
        exact = [x.double() for x in inputs]
        weights = [torch.randn_like(x) for x in case.reference(*exact)]
        # The gradients of bf16 outputs arrive in bf16.
        weights = [w.to(x.dtype).double() for w, x in zip(weights, case.ours(*inputs))]
        expected = results(case.reference, exact, weights)
        functions = {"libwkv": case.ours} | ({"fla": case.fla} if with_fla and case.fla else {})
        for name, function in functions.items():
            values = results(function, inputs, weights)
            found[f"{name} {column}"] = [error(x, y) for x, y in zip(values, expected, strict=True)]
        if dtype == torch.float32 and with_ggml and case.ggml:
            values = ggml.GgmlOp(case.name, *inputs[:-1], state=inputs[-1]).results()
            errors = [error(x, y) for x, y in zip(values, expected)]
            found["ggml fp32"] = errors + ["-"] * (len(expected) - len(errors))
    return found


def table(case, decay, found):
    rows = [*case.outputs, *(f"gradient of {name}" for name in case.names)]
    lines = [f"| {decay} | " + " | ".join(found) + " |", "|---" * (1 + len(found)) + "|"]
    for i, row in enumerate(rows):
        cells = [f"**{x[i]}**" if name.startswith("libwkv") else x[i] for name, x in found.items()]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default=ROOT / "build/lib/libwkv_ops.so", type=Path)
    parser.add_argument("--time", default=256, type=int)
    options = parser.parse_args()
    torch.ops.load_library(options.library)

    with_fla, with_ggml = fla_available(), ggml.available()
    missing = [name for name, there in (("flash-linear-attention", with_fla), ("ggml", with_ggml)) if not there]
    note = f"\n- Not installed when this was written: {', '.join(missing)}." if missing else ""
    facts = {"time": options.time, "B": B, "H": H, "N": N, "torch": torch.__version__, "isa": torch.ops.wkv._cpu_isa()}
    parts = [INTRODUCTION.format(missing=note, **facts)]
    for case in CASES:
        parts.append(f"## {case.title}\n")
        for decay in DECAYS if case.decays else ["any"]:
            found = measure(case, DECAYS.get(decay), options.time, with_fla, with_ggml)
            parts.append(table(case, f"{decay} decays" if case.decays else "", found) + "\n")
    (ROOT / "docs/accuracy.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
