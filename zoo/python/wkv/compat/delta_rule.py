"""Linear attention with a decay or a delta rule, as special cases of RWKV's recurrences.

q, k: [B,T,H,K]; v: [B,T,H,V]; g: the natural logarithm of the decay alpha, at most 0; beta: [B,T,H], how much of the
value at key k is replaced. Arguments, layouts and results are those of flash-linear-attention's chunk_* functions:
states [N,H,K,V], scale=None is K ** -0.5, the result is (o, final state or None). With S as [value, key], o[t] is
S[t] q[t] scale and

    gated delta rule         S[t] = S[t-1] alpha (I - beta k k^T) + beta v k^T        one alpha a head
    Kimi delta attention     S[t] = S[t-1] diag(alpha) (I - beta k k^T) + beta v k^T
    gated linear attention   S[t] = S[t-1] diag(alpha) + v k^T
"""
import torch
from torch import Tensor

from wkv.compat import fla


def gated_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    beta: Tensor,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    use_qk_l2norm_in_kernel: bool = False,
    *,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """g: [B,T,H]. v, g and beta may have a multiple of the heads of q and k, each of which then serves several."""
    g = g[..., None].expand(*g.shape, k.shape[-1])
    return kda(
        q, k, v, g, beta, scale, initial_state, output_final_state, use_qk_l2norm_in_kernel, cu_seqlens=cu_seqlens
    )


def kda(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    beta: Tensor,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    use_qk_l2norm_in_kernel: bool = False,
    *,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """g: [B,T,H,K]. v, g and beta may have a multiple of the heads of q and k, each of which then serves several."""
    if use_qk_l2norm_in_kernel:
        q, k = l2_norm(q), l2_norm(k)
    q, k = (x.repeat_interleave(v.shape[2] // x.shape[2], 2) for x in (q, k))
    # S (diag(alpha) + a b^T) + v (beta k)^T is wkv7's step with:
    a = (k * g.exp()).to(k.dtype)
    beta_k = (k * beta[..., None]).to(k.dtype)
    return fla.wkv7(q, g, beta_k, v, a, -beta_k, scale, initial_state, output_final_state, cu_seqlens)


def gla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    *,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """g: [B,T,H,K]."""
    # wkv6 reads S before the step: S[t] q[t] = S[t-1] (alpha q[t]) + v[t] (k[t] . q[t])
    no_bonus = k.new_zeros(k.shape[2:])
    r = (q * g.exp()).to(q.dtype)
    o, state = fla.wkv6(r, k, v, g, no_bonus, scale, initial_state, output_final_state, cu_seqlens)
    return o + v * (fla.scaled(q, scale) * k).sum(-1, keepdim=True), state


def l2_norm(x: Tensor, eps: float = 1e-6) -> Tensor:
    x32 = x.to(torch.promote_types(x.dtype, torch.float32))
    return (x32 * (x32.square().sum(-1, keepdim=True) + eps).rsqrt()).to(x.dtype)
