"""The recurrences that wkv.compat stands for, written as their papers do, step by step; and the comparison with them."""

import torch


def assert_same(ours, reference, inputs, tolerance=1e-9):
    """Both give the same outputs, and the same gradients in every input, for one random cotangent of all outputs."""
    results = []
    for function in (ours, reference):
        leaves = {name: x.detach().clone().requires_grad_() for name, x in inputs.items()}
        outputs = function(**leaves)
        outputs = [x for x in (outputs if isinstance(outputs, tuple) else (outputs,)) if x is not None]
        generator = torch.Generator().manual_seed(1)
        loss = sum((x * torch.randn(x.shape, generator=generator, dtype=x.dtype)).sum() for x in outputs)
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        results.append(dict(enumerate(outputs)) | dict(zip(leaves, gradients)))
    assert results[0].keys() == results[1].keys()
    for name, actual in results[0].items():
        expected = results[1][name]
        assert actual.dtype == expected.dtype and actual.shape == expected.shape, name
        error = (actual - expected).abs().max() / expected.abs().max().clamp_min(1e-3)
        assert error <= tolerance, f"{name}: {error:.1e}"


def random(*shape, seed=0, scale=0.5):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def sequences(names, batch=2, time=7, heads=2, size=4):
    """Random [B,T,H,N] tensors; values, v, have two channels more."""
    sizes = {name: size + 2 if name == "v" else size for name in names}
    return {name: random(batch, time, heads, sizes[name], seed=i) for i, name in enumerate(names)}


def wkv4(w, u, k, v):
    """The weighted mean of the values: past token s by exp(k[s] - (t-1-s) exp(w)), token t by exp(u + k[t])."""
    y = []
    for t in range(k.shape[1]):
        weights = [(k[:, s] - (t - 1 - s) * w.exp()).exp() for s in range(t)] + [(u + k[:, t]).exp()]
        y.append(sum(weight * v[:, s] for s, weight in enumerate(weights)) / sum(weights))
    return torch.stack(y, 1)


def wkv6(r, k, v, decay, u, state):
    """state: [B,H,K,V], decay: the factor. RWKV-5's decay is the same in every step."""
    y = []
    for t in range(r.shape[1]):
        kv = k[:, t, :, :, None] * v[:, t, :, None, :]
        y.append(((state + u[..., None] * kv) * r[:, t, :, :, None]).sum(-2))
        state = decay[:, t, :, :, None] * state + kv
    return torch.stack(y, 1), state


def wkv7(r, decay, k, v, a, b, state):
    """state: [B,H,K,V], decay: the factor."""
    y = []
    for t in range(r.shape[1]):
        removed = (state * a[:, t, :, :, None]).sum(-2, keepdim=True)
        state = decay[:, t, :, :, None] * state + b[:, t, :, :, None] * removed
        state = state + k[:, t, :, :, None] * v[:, t, :, None, :]
        y.append((state * r[:, t, :, :, None]).sum(-2))
    return torch.stack(y, 1), state


def delta_rule(q, k, v, decay, beta, state):
    """state: [B,H,K,V], decay: the factor; the value at key k moves by beta towards v."""
    o = []
    for t in range(q.shape[1]):
        state = decay[:, t, :, :, None] * state
        stored = (state * k[:, t, :, :, None]).sum(-2)
        change = beta[:, t, :, None] * (v[:, t] - stored)
        state = state + k[:, t, :, :, None] * change[:, :, None, :]
        o.append((state * q[:, t, :, :, None]).sum(-2))
    return torch.stack(o, 1), state


def zero_state(k, v):
    return k.new_zeros(k.shape[0], v.shape[2], k.shape[-1], v.shape[-1])
