"""The operators, torch.ops.wkv.*, with their documentation. B batch, T time, H heads, N key size, M value size.

Sequences are float32, bfloat16, float16, or on the CPU float64; states float32 (float64 for float64 sequences), new
tensors, never changed in place but by the ops that end in `_`. Every output is differentiable in every input, states
included.
"""
import torch
from torch import Tensor


def wkv7(
    r: Tensor,
    w: Tensor,
    k: Tensor,
    v: Tensor,
    a: Tensor,
    b: Tensor,
    state: Tensor | None = None,
    *,
    cu_seqlens: Tensor | None = None,
    log_decay: bool = False,
) -> tuple[Tensor, Tensor]:
    """The recurrence of RWKV-7 -> (y [B,T,H,M], state [B,H,M,N]).

        S[t] = S[t-1] (diag(d[t]) + a[t] b[t]^T) + v[t] k[t]^T,   y[t] = S[t] r[t],   d[t] = exp(-exp(w[t]))

    r, w, k, a, b: [B,T,H,N]; v: [B,T,H,M]; state: S before the first step, None: zeros.
    log_decay: d[t] = exp(w[t]), w <= 0.
    cu_seqlens: int [S+1], from 0 to T: packs S sequences along T, B is 1 and the state has S rows.
    """
    return torch.ops.wkv.wkv7(r, w, k, v, a, b, state, cu_seqlens=cu_seqlens, log_decay=log_decay)
