"""The operator calls of the published RWKV training code: its names, arguments and layouts, on wkv's operators.

B, T, C, H: batch, time, channels, heads. Sequences are [B,T,C], a channel is head * N + n with N = C / H. w is the raw
parameter, with the decay exp(-exp(w)) a step, unless a function says otherwise. Unlike the kernels that the code was
published with, these take any T, N and floating-point type, on the CPU and with CUDA.
"""
import math

import torch
from torch import Tensor


def RUN_CUDA_RWKV4(B: int, T: int, C: int, w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """w, u: `time_decay` and `time_first`, [C]. Published as RUN_CUDA."""
    return torch.ops.wkv.wkv4(w, u, k.reshape(B, T, C), v.reshape(B, T, C))[0]


RUN_CUDA = RUN_CUDA_RWKV4


def RUN_CUDA_RWKV5(B: int, T: int, C: int, H: int, r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """w, u: `time_decay` and `time_faaaa`, [H,N]."""
    r, k, v = (x.reshape(B, T, H, C // H) for x in (r, k, v))
    return torch.ops.wkv.wkv5(r, k, v, w, u)[0].reshape(B, T, C)


def RUN_CUDA_RWKV6(B: int, T: int, C: int, H: int, r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """w: [B,T,C]; u: `time_faaaa`, [H,N]."""
    r, k, v, w = (x.reshape(B, T, H, C // H) for x in (r, k, v, w))
    return torch.ops.wkv.wkv6(r, k, v, w, u)[0].reshape(B, T, C)


def RUN_CUDA_RWKV6_STATE(
    B: int, T: int, C: int, H: int, r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor, s: Tensor
) -> Tensor:
    """State tuning: s is the state that every sequence starts from, `time_state` [H,N,N], or one a sequence [B,H,N,N]."""
    r, k, v, w = (x.reshape(B, T, H, C // H) for x in (r, k, v, w))
    state = s.to(torch.promote_types(k.dtype, torch.float32)).expand(B, H, C // H, C // H)
    return torch.ops.wkv.wkv6(r, k, v, w, u, state)[0].reshape(B, T, C)


def RUN_CUDA_RWKV7g(q: Tensor, w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, head_size: int = 64) -> Tensor:
    """Every tensor [B,T,C]. The published code's head size is a constant, 64 in every published model."""
    q, w, k, v, a, b = (x.unflatten(-1, (-1, head_size)) for x in (q, w, k, v, a, b))
    return torch.ops.wkv.wkv7(q, w, k, v, a, b)[0].flatten(-2)


RUN_CUDA_RWKV7 = RUN_CUDA_RWKV7g


def RWKV7_CLAMPW_CUDA(r: Tensor, w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, head_size: int = 64) -> Tensor:
    """RUN_CUDA_RWKV7g of w = -softplus(-w) - 0.5: the newest training code leaves that clamp to the operator."""
    log_decay = -math.exp(-0.5) * torch.sigmoid(w.to(torch.promote_types(w.dtype, torch.float32)))
    r, log_decay, k, v, a, b = (x.unflatten(-1, (-1, head_size)) for x in (r, log_decay, k, v, a, b))
    return torch.ops.wkv.wkv7(r, log_decay, k, v, a, b, log_decay=True)[0].flatten(-2)
