"""The operators, torch.ops.wkv.*, with their documentation. B batch, T time, C channels, H heads, N key size, M value size.

Sequences are float32, bfloat16, float16, or on the CPU float64; states float32 (float64 for float64 sequences), new
tensors, never changed in place but by the operators that end in `_`; None is the empty state. Every output is
differentiable, once, in every floating-point input. A bad argument is a RuntimeError that names it.

Where an operator takes cu_seqlens, int32 or int64 [S+1], from 0 to T, it packs S sequences along T: B is 1, and states
have S rows.
"""
import torch
from torch import Tensor


def wkv4(
    w: Tensor, u: Tensor, k: Tensor, v: Tensor, state: Tensor | None = None, *, cu_seqlens: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The recurrence of RWKV-4, in each channel -> (y [B,T,C], state [B,3,C]), with d = exp(-exp(w)):

        y[t] = (sum over s < t of d^(t-1-s) e^k[s] v[s] + e^(u + k[t]) v[t]) / (the same without v)

    w, u: [C]; k, v: [B,T,C]; state: numerator and denominator, relative to e^(the third row).
    """
    return torch.ops.wkv.wkv4(w, u, k, v, state, cu_seqlens=cu_seqlens)


def wkv4_decode_(w: Tensor, u: Tensor, k: Tensor, v: Tensor, pool: Tensor, slots: Tensor) -> Tensor:
    """One step of wkv4 -> y [B,C]; row i of the batch reads and writes pool[slots[i]]. No gradient.

    k, v: [B,C]; pool: states [P,3,C]; slots: int64 [B], all different.
    """
    return torch.ops.wkv.wkv4_decode_(w, u, k, v, pool, slots)


def wkv5(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    w: Tensor,
    u: Tensor,
    state: Tensor | None = None,
    *,
    cu_seqlens: Tensor | None = None,
    log_decay: bool = False,
) -> tuple[Tensor, Tensor]:
    """The recurrence of RWKV-5, in each head -> (y [B,T,H,M], state [B,H,M,N]), with d = exp(-exp(w)):

        y[t] = S[t-1] r[t] + (r[t] . (u * k[t])) v[t],   S[t] = S[t-1] diag(d) + v[t] k[t]^T

    r, k: [B,T,H,N]; v: [B,T,H,M]; w, u: [H,N]; state: S before the first step. log_decay: d = exp(w), w <= 0.
    """
    return torch.ops.wkv.wkv5(r, k, v, w, u, state, cu_seqlens=cu_seqlens, log_decay=log_decay)


def wkv5_decode_(r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor, pool: Tensor, slots: Tensor) -> Tensor:
    """One step of wkv5 -> y [B,H,M]; row i of the batch reads and writes pool[slots[i]]. No gradient.

    r, k: [B,H,N]; v: [B,H,M]; pool: states [P,H,M,N]; slots: int64 [B], all different.
    """
    return torch.ops.wkv.wkv5_decode_(r, k, v, w, u, pool, slots)


def wkv6(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    w: Tensor,
    u: Tensor,
    state: Tensor | None = None,
    *,
    cu_seqlens: Tensor | None = None,
    log_decay: bool = False,
) -> tuple[Tensor, Tensor]:
    """The recurrence of RWKV-6 -> (y [B,T,H,M], state [B,H,M,N]): wkv5 with a decay of each step, w [B,T,H,N]."""
    return torch.ops.wkv.wkv6(r, k, v, w, u, state, cu_seqlens=cu_seqlens, log_decay=log_decay)


def wkv6_decode_(r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor, pool: Tensor, slots: Tensor) -> Tensor:
    """One step of wkv6 -> y [B,H,M]; row i of the batch reads and writes pool[slots[i]]. No gradient.

    r, k, w: [B,H,N]; v: [B,H,M]; pool: states [P,H,M,N]; slots: int64 [B], all different.
    """
    return torch.ops.wkv.wkv6_decode_(r, k, v, w, u, pool, slots)


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
    """The recurrence of RWKV-7, in each head -> (y [B,T,H,M], state [B,H,M,N]), with d[t] = exp(-exp(w[t])):

        S[t] = S[t-1] (diag(d[t]) + a[t] b[t]^T) + v[t] k[t]^T,   y[t] = S[t] r[t]

    r, w, k, a, b: [B,T,H,N]; v: [B,T,H,M]; state: S before the first step. log_decay: d[t] = exp(w[t]), w <= 0.
    """
    return torch.ops.wkv.wkv7(r, w, k, v, a, b, state, cu_seqlens=cu_seqlens, log_decay=log_decay)


def wkv7_decode_(
    r: Tensor, w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, pool: Tensor, slots: Tensor
) -> Tensor:
    """One step of wkv7 -> y [B,H,M]; row i of the batch reads and writes pool[slots[i]]. No gradient.

    r, w, k, a, b: [B,H,N]; v: [B,H,M]; pool: states [P,H,M,N]; slots: int64 [B], all different.
    """
    return torch.ops.wkv.wkv7_decode_(r, w, k, v, a, b, pool, slots)


def bi_wkv(w: Tensor, u: Tensor, k: Tensor, v: Tensor, *, compat_chunks: int = 0) -> Tensor:
    """The bidirectional attention of Vision-RWKV, in each channel -> y [B,T,C]:

        y[t] = (sum over i != t of e^(k[i] - w (|t-i| - 1)) v[i] + e^(k[t] + u) v[t]) / (the same without v)

    w, u: [C], of either sign, divided by T already; k, v: [B,T,C].
    compat_chunks: 16 or 32 gives the numbers of the published kernels with so many chunks, which differ from that.
    """
    return torch.ops.wkv.bi_wkv(w, u, k, v, compat_chunks=compat_chunks)


def bi_wkv6(r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """wkv6 from the left and, over the later tokens, from the right, as in VRWKV6 and RWKV-CLIP -> y [B,T,H,M].

    r, k, w: [B,T,H,N]; v: [B,T,H,M]; u: [H,N], whose term counts once.
    """
    return torch.ops.wkv.bi_wkv6(r, k, v, w, u)


def q_shift(
    x: Tensor,
    height: int,
    width: int,
    *,
    gamma: float = 0.25,
    shift: int = 1,
    head_size: int = 0,
    cls_tokens: int = 0,
) -> Tensor:
    """Vision-RWKV's shift of four groups of channels by one token, each in another direction -> the shape of x.

    x: [B, height*width + cls_tokens, C]. Channels [int(C*gamma*i), int(C*gamma*(i+1))) of group i = 0..3 come from the
    left, right, upper, lower neighbour at the distance `shift`, zero outside; the others, and the class tokens, which
    are the last, are copied. head_size > 0: the groups are taken within each head. gamma is up to 1/2: above 1/4 the
    last groups get what is left, at 1/2 there are left and right neighbours only.
    """
    return torch.ops.wkv.q_shift(
        x, height, width, gamma=gamma, shift=shift, head_size=head_size, cls_tokens=cls_tokens
    )


def based_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    kv_state: Tensor | None = None,
    k_state: Tensor | None = None,
    *,
    normalize: bool = True,
    eps: float = 1e-12,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The linear attention of BASED, with the feature map of exp's Taylor series -> (y [B,T,H,M], kv_state, k_state):

        y[t] = sum over s <= t of f(q[t] . k[s] / sqrt(N)) v[s] / (the same without v + eps),   f(x) = 1 + x + x^2/2

    q, k: [B,T,H,N]; v: [B,T,H,M]; kv_state: [B,H,M,D], k_state: [B,H,D], over D = 1+N+N*N features.
    normalize=False leaves out the division.
    """
    return torch.ops.wkv.based_linear_attention(
        q, k, v, kv_state, k_state, normalize=normalize, eps=eps, cu_seqlens=cu_seqlens
    )


def sliding_window_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keys_back: int,
    *,
    scale: float | None = None,
    past_k: Tensor | None = None,
    past_v: Tensor | None = None,
    past_length: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Softmax attention of query i to the keys i-keys_back to i -> (y [B,T,H,D], window_k, window_v).

    q, k, v: [B,T,H,D], keys rotated already; scale: D^-0.5 by default.
    past_k, past_v: [B,P,H,D], what came before, newest last; past_length: int64 [B], how many of a row's last P are
    real, by default all. The windows are the last min(keys_back+1, P+T) keys and values, of packed sequences always
    keys_back+1, with zeros on the left.
    """
    return torch.ops.wkv.sliding_window_attention(
        q,
        k,
        v,
        keys_back,
        scale=scale,
        past_k=past_k,
        past_v=past_v,
        past_length=past_length,
        cu_seqlens=cu_seqlens,
    )


def short_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    state: Tensor | None = None,
    *,
    silu: bool = False,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """A causal convolution in each channel over the last K steps, then silu if wanted -> (y [B,T,C], state [B,C,K]).

    x: [B,T,C]; weight: [C,1,K]; bias: [C]; state: the last K inputs, newest last.
    """
    return torch.ops.wkv.short_conv(x, weight, bias, state, silu=silu, cu_seqlens=cu_seqlens)


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Multi-scale deformable attention: the weighted sum of bilinear samples of L maps -> [B, Q, M*D].

    value: [B,S,M,D], the maps one after another; spatial_shapes: int64 [L,2], heights and widths; level_start_index:
    int64 [L]; sampling_locations: [B,Q,M,L,P,2], x and y in 0..1 (align_corners=False), zeros outside;
    attention_weights: [B,Q,M,L,P].
    """
    return torch.ops.wkv.ms_deform_attn(
        value, spatial_shapes, level_start_index, sampling_locations, attention_weights
    )
