"""flash-linear-attention's functions of RWKV, on wkv's operators: its names, arguments, layouts and results.

Sequences are [B,T,H,K], values [B,T,H,V], w is the natural logarithm of the decay, states are [N,H,K,V]: [key, value],
the transpose of wkv's own. scale=None is K ** -0.5. A result is (o, final state or None), and both are differentiable
in every argument. Arguments that only choose between that library's kernels are accepted and change nothing.
"""
import torch
from torch import Tensor


def chunk_rwkv7(
    r: Tensor,
    w: Tensor,
    k: Tensor,
    v: Tensor,
    a: Tensor,
    b: Tensor,
    scale: float = 1.0,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    cu_seqlens: Tensor | None = None,
    cu_seqlens_cpu: Tensor | None = None,
    safe_gate: bool = False,
    chunk_size: int | None = None,
    disable_recompute: bool = False,
    cp_context=None,
    lower_bound: float | None = None,
) -> tuple[Tensor, Tensor | None]:
    if cp_context is not None:
        raise NotImplementedError("chunk_rwkv7: cp_context (one sequence on several devices) is not supported")
    return wkv7(r, w, k, v, a, b, scale, initial_state, output_final_state, cu_seqlens)


def fused_recurrent_rwkv7(
    r: Tensor,
    w: Tensor,
    k: Tensor,
    v: Tensor,
    a: Tensor,
    b: Tensor,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    output_final_state: bool = True,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    return wkv7(r, w, k, v, a, b, scale, initial_state, output_final_state, cu_seqlens)


def fused_mul_recurrent_rwkv7(
    r: Tensor,
    w: Tensor,
    k: Tensor,
    v: Tensor,
    kk: Tensor,
    a: Tensor,
    scale: float = 1.0,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    reverse: bool = False,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """RWKV-7's own arguments: the removal key kk and its rate a."""
    sequences = (r, w, k, v, -kk, kk * a)
    if reverse:
        return reversed_in_time(wkv7, sequences, scale, initial_state, output_final_state, cu_seqlens)
    return wkv7(*sequences, scale, initial_state, output_final_state, cu_seqlens)


def chunk_rwkv6(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    w: Tensor,
    u: Tensor,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    cu_seqlens: Tensor | None = None,
    cu_seqlens_cpu: Tensor | None = None,
    **kwargs,
) -> tuple[Tensor, Tensor | None]:
    """The only keyword argument besides the named ones is chunk_size."""
    if unknown := kwargs.keys() - {"chunk_size"}:
        raise TypeError(f"chunk_rwkv6: unexpected argument {', '.join(sorted(unknown))}")
    return wkv6(r, k, v, w, u, scale, initial_state, output_final_state, cu_seqlens)


def fused_recurrent_rwkv6(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    w: Tensor,
    u: Tensor,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    reverse: bool = False,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    if reverse:
        step = lambda r, k, v, w, *rest: wkv6(r, k, v, w, u, *rest)
        return reversed_in_time(step, (r, k, v, w), scale, initial_state, output_final_state, cu_seqlens)
    return wkv6(r, k, v, w, u, scale, initial_state, output_final_state, cu_seqlens)


def fused_recurrent_rwkv4(w: Tensor, u: Tensor, k: Tensor, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """w, u: [C], w raw; k, v: [B,T,C]; state: [B,3,1,C] -> ([B,T,C], the state after the last step)."""
    y, final_state = torch.ops.wkv.wkv4(w, u, k, v, state.squeeze(2).to(state_dtype(k)))
    return y, final_state.unsqueeze(2)


# --- the operators in this library's conventions ---


def wkv7(r, w, k, v, a, b, scale, initial_state, output_final_state, cu_seqlens):
    initial_state = transposed_state(initial_state, k)
    o, state = torch.ops.wkv.wkv7(scaled(r, scale), w, k, v, a, b, initial_state, cu_seqlens=cu_seqlens, log_decay=True)
    return o, state.mT.contiguous() if output_final_state else None


def wkv6(r, k, v, w, u, scale, initial_state, output_final_state, cu_seqlens):
    initial_state = transposed_state(initial_state, k)
    o, state = torch.ops.wkv.wkv6(scaled(r, scale), k, v, w, u, initial_state, cu_seqlens=cu_seqlens, log_decay=True)
    return o, state.mT.contiguous() if output_final_state else None


def scaled(r: Tensor, scale: float | None) -> Tensor:
    return r * (r.shape[-1] ** -0.5 if scale is None else scale)


def transposed_state(state: Tensor | None, k: Tensor) -> Tensor | None:
    return None if state is None else state.mT.to(state_dtype(k))


def state_dtype(k: Tensor) -> torch.dtype:
    return torch.promote_types(k.dtype, torch.float32)


def reversed_in_time(function, sequences, scale, initial_state, output_final_state, cu_seqlens):
    """function, from each sequence's last step to its first; flipped packed sequences are in the opposite order too."""
    if cu_seqlens is not None:
        cu_seqlens = cu_seqlens[-1] - cu_seqlens.flip(0)
        initial_state = None if initial_state is None else initial_state.flip(0)
    sequences = (x.flip(1) for x in sequences)
    o, state = function(*sequences, scale, initial_state, output_final_state, cu_seqlens)
    if state is not None and cu_seqlens is not None:
        state = state.flip(0)
    return o.flip(1), state
