"""The definitions of the ops in plain PyTorch, one token after the other, differentiable: what errors are measured against.

Arguments and outputs are those of the ops, without packed sequences; the decay w is the raw parameter. Run in float64.
"""

import math

import torch
import torch.nn.functional as F


def decay(w):
    return torch.exp(-torch.exp(w))


def wkv4(w, u, k, v, state):
    log_decay, y = -torch.exp(w), []
    a, b, p = state.unbind(1)
    for k_t, v_t in zip(k.unbind(1), v.unbind(1)):
        q = torch.maximum(p, u + k_t)
        past, now = torch.exp(p - q), torch.exp(u + k_t - q)
        y.append((past * a + now * v_t) / (past * b + now))
        q = torch.maximum(p + log_decay, k_t)
        past, now = torch.exp(p + log_decay - q), torch.exp(k_t - q)
        a, b, p = past * a + now * v_t, past * b + now, q
    return torch.stack(y, 1), torch.stack((a, b, p), 1)


def outer(v, k):
    return v[..., :, None] * k[..., None, :]


def times(state, r):
    return (state @ r[..., None])[..., 0]


def wkv6(r, k, v, w, u, state):
    y = []
    for r_t, k_t, v_t, d_t in zip(*(x.unbind(1) for x in (r, k, v, decay(w)))):
        new = outer(v_t, k_t)
        y.append(times(state + u[:, None, :] * new, r_t))
        state = state * d_t[..., None, :] + new
    return torch.stack(y, 1), state


def wkv5(r, k, v, w, u, state):
    return wkv6(r, k, v, w.expand_as(k), u, state)


def wkv7(r, w, k, v, a, b, state):
    y = []
    for r_t, d_t, k_t, v_t, a_t, b_t in zip(*(x.unbind(1) for x in (r, decay(w), k, v, a, b))):
        state = state * d_t[..., None, :] + outer(times(state, a_t), b_t) + outer(v_t, k_t)
        y.append(times(state, r_t))
    return torch.stack(y, 1), state


def bi_wkv(w, u, k, v):
    position = torch.arange(k.shape[1], dtype=k.dtype)
    distance = (position[:, None] - position).abs()[..., None]  # [t, i, 1]
    logits = torch.where(distance == 0, u, -w * (distance - 1)) + k[:, None]  # [B, t, i, C]
    return ((torch.softmax(logits, dim=2) * v[:, None]).sum(2),)


def bi_wkv6(r, k, v, w, u):
    empty = r.new_zeros(r.shape[0], r.shape[2], v.shape[3], r.shape[3])
    left, _ = wkv6(r, k, v, w, u, empty)
    right, _ = wkv6(*(x.flip(1) for x in (r, k, v, w)), torch.zeros_like(u), empty)
    return (left + right.flip(1),)


def based_linear_attention(q, k, v, kv_state=0, k_state=0, eps=1e-12):
    def features(x):
        x = x / x.shape[-1] ** 0.25
        return torch.cat([torch.ones_like(x[..., :1]), x, outer(x, x).flatten(-2) / math.sqrt(2)], -1)

    y = []
    for q_t, k_t, v_t in zip(*(x.unbind(1) for x in (features(q), features(k), v))):
        kv_state, k_state = kv_state + outer(v_t, k_t), k_state + k_t
        y.append(times(kv_state, q_t) / ((q_t * k_state).sum(-1, keepdim=True) + eps))
    return torch.stack(y, 1), kv_state, k_state


def sliding_window_attention(q, k, v, past_k, past_v, keys_back):
    k, v = torch.cat([past_k, k], 1), torch.cat([past_v, v], 1)
    key, query = torch.arange(k.shape[1]), torch.arange(q.shape[1])[:, None] + past_k.shape[1]
    mask = (key <= query) & (key >= query - keys_back)
    y = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), attn_mask=mask).transpose(1, 2)
    return y, k[:, -keys_back - 1 :], v[:, -keys_back - 1 :]


def short_conv(x, weight, bias, state):
    size = weight.shape[-1]
    padded = torch.cat([state, x.mT], -1)
    y = F.conv1d(padded[..., 1:], weight, bias, groups=x.shape[2]).mT
    return F.silu(y), padded[..., -size:]


def ms_deform_attn(value, sampling_locations, attention_weights, spatial_shapes):
    batch, _, heads, size = value.shape
    y, start = 0, 0
    for level, (height, width) in enumerate(spatial_shapes.tolist()):
        image = value[:, start : start + height * width].permute(0, 2, 3, 1).reshape(-1, size, height, width)
        grid = sampling_locations[:, :, :, level].transpose(1, 2).flatten(0, 1) * 2 - 1  # [B*M, Q, P, 2]
        samples = F.grid_sample(image, grid, align_corners=False)  # [B*M, D, Q, P]
        weights = attention_weights[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]
        y, start = y + (samples * weights).sum(-1), start + height * width
    return (y.view(batch, heads * size, -1).mT,)
