"""What the tests of ops share: a loss that weighs every element of every output, and comparisons."""

import torch


def loss(outputs):
    """Every element counts, each with another weight."""
    return sum((x.double().flatten() * weights(x)).sum() for x in outputs)


def weights(x):
    return torch.arange(x.numel(), dtype=torch.float64, device=x.device).cos()


def gradients(function, inputs):
    return torch.autograd.grad(loss(function(*inputs)), inputs)


def assert_bits(actual, expected):
    assert_close(actual, expected, 0)


def assert_close(actual, expected, tolerance):
    """Shapes, dtypes and, within a tolerance relative to the largest element, values."""
    for x, y in zip(actual, expected, strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        scale = y.abs().max().item() if y.numel() else 0
        torch.testing.assert_close(x, y, rtol=0, atol=tolerance * scale, equal_nan=True)
