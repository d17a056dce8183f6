"""The fused ops of the models' layers beside the same in PyTorch's operators: forward and backward together, on the CPU.

python tests/benchmark/bench_layer_ops.py [--rounds 9] [--dtype float32] [--tokens 2048] [--width 768]
Both run in turns in one process; printed are medians and the median of the rounds' ratios.
"""

import argparse
import math
import statistics
import time

import torch

import wkv  # noqa: F401  (loads the operators)

OPS = torch.ops.wkv


def shifted(x, last):
    return torch.cat([last.unsqueeze(1), x[:, :-1]], 1)


def cases(tokens, width, dtype):
    """name -> (fused, composed, inputs); each returns one tensor."""
    side, pad = 14, torch.nn.functional.pad

    def normal(*shape):
        return torch.randn(*shape, dtype=dtype).requires_grad_()

    def composed_mixes(x, last, mixes):
        difference = shifted(x, last) - x
        return torch.stack([torch.addcmul(x, difference, mix) for mix in mixes])

    def composed_neighbour_mixes(x, mixes):
        image = x.transpose(1, 2).unflatten(2, (side, side))
        left, right, upper, lower = image.chunk(4, 1)
        shifted_image = [pad(left[..., :-1], (1, 0)), pad(right[..., 1:], (0, 1))]
        shifted_image += [pad(upper[..., :-1, :], (0, 0, 1, 0)), pad(lower[..., 1:, :], (0, 0, 0, 1))]
        difference = torch.cat(shifted_image, 1).flatten(2).transpose(1, 2) - x
        return torch.stack([torch.addcmul(x, difference, mix) for mix in mixes])

    def composed_norm(x, weight, bias, gate, r, k, v, bonus):
        heads, size = x.shape[2:]
        normed = torch.nn.functional.group_norm(x.reshape(-1, heads * size), heads, weight.flatten(), bias.flatten(), 1e-3)
        return (normed.view_as(x) + (r * k * bonus).sum(-1, keepdim=True) * v) * gate

    def composed_inputs(decay, rate, k, w0, a0, k_k, k_a, v, first_value, residual, v0):
        w = -math.exp(-0.5) * torch.sigmoid(w0 + decay)
        s, removal = torch.sigmoid(a0 + rate), torch.nn.functional.normalize(k * k_k, dim=-1)
        v = v + (first_value - v) * torch.sigmoid(v0 + residual)
        return torch.stack([w, k * (1 + (s - 1) * k_a), -removal, removal * s, v])

    head = (1, tokens, width // 64, 64)
    inputs = [*(normal(*head) for _ in range(3)), *(normal(*head[2:]) for _ in range(4))]
    inputs += [*(normal(*head) for _ in range(3)), normal(*head[2:])]
    norm = [normal(*head), normal(*head[2:]), normal(*head[2:]), *(normal(*head) for _ in range(4)), normal(*head[2:])]
    return {
        "token shift and 6 mixes": (
            lambda *x: OPS._mix_tokens(*x)[0],
            composed_mixes,
            [normal(1, tokens, width), normal(1, width), normal(6, width)],
        ),
        "Q-Shift and 3 mixes": (
            lambda x, mixes: OPS._mix_neighbours(x, mixes, None, height=side, width=side),
            composed_neighbour_mixes,
            [normal(max(1, tokens // side**2), side**2, width), normal(3, width)],
        ),
        "head norm, bonus and gate": (lambda *x: OPS._gated_head_norm(*x, eps=1e-3), composed_norm, norm),
        "inputs of wkv7": (lambda *x: torch.stack([y.to(dtype) for y in OPS._wkv7_inputs(*x)]), composed_inputs, inputs),
        "squared ReLU": (OPS._squared_relu, lambda x: torch.relu(x).square(), [normal(1, tokens, 4 * width)]),
    }


def seconds(function, inputs):
    for x in inputs:
        x.grad = None
    start = time.perf_counter()
    y = function(*inputs)
    y.backward(torch.ones_like(y))
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--width", type=int, default=768)
    options = parser.parse_args()
    print(f"{options.tokens} tokens, width {options.width}, {options.dtype}, {torch.get_num_threads()} threads; ms forward + backward")
    for name, (fused, composed, inputs) in cases(options.tokens, options.width, getattr(torch, options.dtype)).items():
        pairs = [(seconds(fused, inputs), seconds(composed, inputs)) for _ in range(options.rounds + 1)][1:]
        ours, theirs = (statistics.median(times) * 1e3 for times in zip(*pairs))
        print(f"{name:28} {ours:8.2f}  PyTorch {theirs:8.2f}  {statistics.median(b / a for a, b in pairs):5.2f}x")


if __name__ == "__main__":
    main()
