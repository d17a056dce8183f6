"""The recurrences as people run them in PyTorch on a CPU: what libwkv's ops are timed against.

All take float32 tensors without a state; the decay is the raw parameter, as in libwkv. Loops over the tokens that write in
place can't be differentiated; the others can.
"""

import math

import torch
import torch.nn.functional as F


def decay(w):
    return torch.exp(-torch.exp(w))


def heads_first(*tensors):
    """[B,T,H,N] -> [B*H,T,N]"""
    return [x.transpose(1, 2).reshape(-1, x.shape[1], x.shape[3]) for x in tensors]


# --- wkv4 ---


def wkv4_step(top, bottom, largest, k, v, w, u):
    """One token: y and the state after, relative to the running maximum of the exponents."""
    q = torch.maximum(largest, k + u)
    past, now = torch.exp(largest - q), torch.exp(k + u - q)
    y = (past * top + now * v) / (past * bottom + now)
    q = torch.maximum(largest + w, k)
    past, now = torch.exp(largest + w - q), torch.exp(k - q)
    return y, past * top + now * v, past * bottom + now, q


def wkv4_tokens(top, bottom, largest, k, v, w, u):
    y = []
    for t in range(k.shape[1]):
        out, top, bottom, largest = wkv4_step(top, bottom, largest, k[:, t], v[:, t], w, u)
        y.append(out)
    return torch.stack(y, 1), top, bottom, largest


def wkv4_empty(k):
    zeros = k.new_zeros(k.shape[0], k.shape[2])
    return zeros, zeros, zeros - 1e38


def wkv4_loop(w, u, k, v):
    """One token after the other: transformers' loop for the CPU does the same."""
    return wkv4_tokens(*wkv4_empty(k), k, v, -torch.exp(w), u)[0]


def wkv4_compiled(tokens=16):
    """Graphs of 16 tokens through torch.compile: longer ones take minutes to compile."""
    block = torch.compile(wkv4_tokens, dynamic=False)

    def call(w, u, k, v):
        state, y = wkv4_empty(k), torch.empty_like(k)
        for t in range(0, k.shape[1], tokens):
            y[:, t : t + tokens], *state = block(*state, k[:, t : t + tokens], v[:, t : t + tokens], -torch.exp(w), u)
        return y

    return call


# --- wkv6 and wkv7 ---


def wkv6_loop(r, k, v, w, u):
    """One token after the other, as inference packages write it; the state is [key, value]."""
    state, d, y = 0, decay(w), []
    for t in range(r.shape[1]):
        new = k[:, t, :, :, None] * v[:, t, :, None, :]
        y.append(((state + u[..., None] * new) * r[:, t, :, :, None]).sum(-2))
        state = state * d[:, t, :, :, None] + new
    return torch.stack(y, 1)


def wkv6_in_place(r, k, v, w, u):
    """The same with as few and as large operations as PyTorch allows."""
    B, T, H, N = r.shape
    bonus = (r * u * k).sum(-1, keepdim=True) * v
    r, k, v, d = heads_first(r, k, v, decay(w))
    state, y = r.new_zeros(B * H, N, N), r.new_empty(T, B * H, 1, N)
    for t in range(T):
        torch.bmm(r[:, t : t + 1], state, out=y[t])
        state.mul_(d[:, t, :, None]).baddbmm_(k[:, t, :, None], v[:, t : t + 1])
    return y[:, :, 0].view(T, B, H, N).transpose(0, 1) + bonus


def wkv7_loop(r, w, k, v, a, b):
    """One token after the other, as inference packages write it."""
    state, d, y = r.new_zeros(r.shape[0], r.shape[2], r.shape[3], r.shape[3]), decay(w), []
    for t in range(r.shape[1]):
        change = a[:, t, :, :, None] @ b[:, t, :, None, :]
        state = state * d[:, t, :, None, :] + state @ change + v[:, t, :, :, None] @ k[:, t, :, None, :]
        y.append((state @ r[:, t, :, :, None])[..., 0])
    return torch.stack(y, 1)


def wkv7_in_place(r, w, k, v, a, b):
    """The same with as few and as large operations as PyTorch allows; the state is [key, value]."""
    B, T, H, N = r.shape
    r, d, k, v, a, b = heads_first(r, decay(w), k, v, a, b)
    state, y = r.new_zeros(B * H, N, N), r.new_empty(T, B * H, 1, N)
    left, right = torch.stack((b, k), -1), r.new_empty(B * H, 2, N)
    for t in range(T):
        torch.bmm(a[:, t : t + 1], state, out=right[:, :1])
        right[:, 1] = v[:, t]
        state.mul_(d[:, t, :, None]).baddbmm_(left[:, t], right)
        torch.bmm(r[:, t : t + 1], state, out=y[t])
    return y[:, :, 0].view(T, B, H, N).transpose(0, 1)


# --- bi_wkv ---


def bi_wkv_loop(w, u, k, v):
    """One sweep from the right, one from the left, with one reference exponent a channel."""
    weight = (k - k.amax(1, keepdim=True)).exp()
    weighted, factor, bonus = weight * v, (-w).exp(), u.exp()
    top = bottom = torch.zeros_like(k[:, 0])
    right = []
    for t in reversed(range(k.shape[1])):
        right.append((top, bottom))
        top, bottom = top * factor + weighted[:, t], bottom * factor + weight[:, t]
    top = bottom = torch.zeros_like(top)
    y = []
    for t in range(k.shape[1]):
        top_right, bottom_right = right.pop()
        y.append((top + top_right + bonus * weighted[:, t]) / (bottom + bottom_right + bonus * weight[:, t]))
        top, bottom = top * factor + weighted[:, t], bottom * factor + weight[:, t]
    return torch.stack(y, 1)


def bi_wkv_fft(w, u, k, v):
    """Both sums as convolutions through the Fourier transform."""
    T = k.shape[1]
    weight = (k - k.amax(1, keepdim=True)).exp()
    distance = torch.arange(1 - T, T).abs()[:, None]
    kernel = torch.where(distance == 0, u.exp(), torch.exp(-(distance - 1) * w))
    size = 1 << (3 * T - 2).bit_length()
    spectrum = torch.fft.rfft(kernel, size, dim=0)

    def convolve(x):
        return torch.fft.irfft(torch.fft.rfft(x, size, dim=1) * spectrum, size, dim=1)[:, T - 1 : 2 * T - 1]

    return convolve(weight * v) / convolve(weight)


# --- based_linear_attention; q, k: [B,T,H,d], v: [B,T,H,dv] ---


def based_quadratic(q, k, v):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    weights = (1 + scores + scores * scores / 2).tril()
    return (weights @ v / weights.sum(-1, keepdim=True)).transpose(1, 2)


def based_chunked(q, k, v, chunk=64):
    """Quadratic within chunks of tokens, the packed features of the Taylor map between them."""
    B, T, H, d = q.shape
    rows, columns = torch.triu_indices(d, d)
    half = torch.where(rows == columns, math.sqrt(0.5), 1.0)

    def features(x):
        return torch.cat([torch.ones_like(x[..., :1]), x, x[..., rows] * x[..., columns] * half], -1)

    q, k, v = heads_first(q / math.sqrt(d), k, F.pad(v, (0, 1), value=1.0))
    q, k, v = (x.reshape(B * H, T // chunk, chunk, -1) for x in (q, k, v))
    scores = q @ k.transpose(-1, -2)
    y = (1 + scores + scores * scores / 2).tril() @ v
    before = F.pad((features(k).transpose(-1, -2) @ v).cumsum(1)[:, :-1], (0, 0, 0, 0, 1, 0))
    y = (y + features(q) @ before).reshape(B, H, T, -1).transpose(1, 2)
    return y[..., :-1] / y[..., -1:]


def attention(q, k, v):
    """PyTorch's own causal attention with keys as wide as the values: another function, as a yardstick."""
    wide = v.transpose(1, 2)
    return F.scaled_dot_product_attention(wide, wide, wide, is_causal=True).transpose(1, 2)
