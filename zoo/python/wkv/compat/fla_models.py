"""What flash-linear-attention's RWKV models call besides the recurrence, in plain PyTorch: its arguments and results.

That library has these as GPU kernels. Like them, each form computes in float32 (float64 for float64 tensors).
"""
import torch
import torch.nn.functional as F
from torch import Tensor

from wkv.compat import fla
from wkv.compat.delta_rule import l2_norm


def token_shift(
    x: Tensor,
    cu_seqlens: Tensor | None = None,
    cache: Tensor | None = None,
    output_cache: bool = False,
    chunk_indices: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """x[t-1] - x[t]; before a sequence's first step stands its row of cache, or zeros. The cache out: the last steps."""
    batch, time, channels = x.shape
    bounds = torch.arange(batch + 1, device=x.device) * time if cu_seqlens is None else cu_seqlens.long()
    cache = x.new_zeros(len(bounds) - 1, channels) if cache is None else cache.reshape(-1, channels)
    filled = (bounds.diff() > 0).nonzero()[:, 0]  # an empty sequence has no step, and keeps its cache
    steps = x.reshape(-1, channels)
    previous = steps.roll(1, 0).index_copy(0, bounds[filled], cache[filled])
    delta = previous.view_as(x) - x
    return (delta, cache.index_copy(0, filled, steps[bounds[filled + 1] - 1])) if output_cache else delta


def fused_addcmul_rwkv7(hidden_states: Tensor, delta: Tensor, *mix: Tensor | None, **named: Tensor | None):
    return tuple(None if x is None else hidden_states.addcmul(delta, x) for x in (*mix, *named.values()))


def fused_k_rwkv7(k: Tensor, a: Tensor, ka: Tensor, cu_seqlens=None, cu_seqlens_cpu=None) -> Tensor:
    return k.addcmul(k * (a - 1), ka)


def gate_output_correction(o: Tensor, r: Tensor, k: Tensor, r_k: Tensor, v: Tensor, g: Tensor) -> Tensor:
    bonus = (r * k * r_k).sum(-1, keepdim=True) * v
    return (o + bonus.flatten(-2)) * g


def group_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None = None,
    eps: float = 1e-5,
    prenorm: bool = False,
    residual_in_fp32: bool = False,
    is_rms_norm: bool = False,
    num_groups: int = 1,
) -> Tensor | tuple[Tensor, Tensor]:
    """The norm of x + residual, with prenorm also that sum."""
    total = x.to(torch.promote_types(x.dtype, torch.float32))
    total_dtype = torch.float32 if residual_in_fp32 else x.dtype
    if residual is not None:
        total, total_dtype = total + residual, residual.dtype
    groups = total.unflatten(-1, (num_groups, -1))
    norm = F.rms_norm if is_rms_norm else F.layer_norm
    y = norm(groups, groups.shape[-1:], eps=eps).flatten(-2)
    y = y if weight is None else y * weight
    y = (y if bias is None else y + bias).to(x.dtype)
    return (y, total.to(total_dtype)) if prenorm else y


def layer_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None = None,
    eps: float = 1e-5,
    prenorm: bool = False,
    residual_in_fp32: bool = False,
    is_rms_norm: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    return group_norm(x, weight, bias, residual, eps, prenorm, residual_in_fp32, is_rms_norm)


def l2norm(x: Tensor, eps: float = 1e-6, output_dtype: torch.dtype | None = None) -> Tensor:
    return l2_norm(x, eps).to(output_dtype or x.dtype)


def sqrelu(x: Tensor) -> Tensor:
    return x.relu().square()


def cross_entropy_forward(module: torch.nn.Module, input: Tensor, target: Tensor) -> Tensor:
    """The forward function of FusedCrossEntropyLoss."""
    unsupported = ("lse_square_scale", "process_group", "return_z_loss")
    if any(getattr(module, name, None) for name in unsupported):
        raise NotImplementedError(f"FusedCrossEntropyLoss: {', '.join(unsupported)} are not supported on a CPU")
    logits = transformed_logits(input, module.logit_scale, module.logit_softcapping)
    options = dict(ignore_index=module.ignore_index, label_smoothing=module.label_smoothing)
    return F.cross_entropy(logits, target, reduction=module.reduction, **options)


def fused_linear_cross_entropy_loss(
    x: Tensor,
    target: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    logit_scale: float = 1.0,
    logit_softcapping: float | None = None,
    num_chunks: int = 8,
    reduction: str = "mean",
    use_l2warp: bool = False,
    l2_penalty_factor: float = 1e-4,
    accumulate_grad_in_fp32: bool = True,
    process_group=None,
) -> Tensor:
    if process_group is not None:
        raise NotImplementedError("fused_linear_cross_entropy_loss: process_group is not supported on a CPU")
    raw_logits = F.linear(x, weight, bias)
    logits = transformed_logits(raw_logits, logit_scale, logit_softcapping)
    options = dict(ignore_index=ignore_index, label_smoothing=label_smoothing)
    loss = F.cross_entropy(logits, target, reduction="sum", **options)
    if reduction == "mean":
        loss = loss / (target != ignore_index).sum().clamp_min(1)
    if use_l2warp:  # a gradient without a value: it draws each row's largest logit to 0
        penalty = raw_logits.max(-1).values.to(loss.dtype).square().sum() * (l2_penalty_factor / (2 * len(x)))
        loss = loss + (penalty - penalty.detach())
    return loss


def transformed_logits(logits: Tensor, scale: float, softcapping: float | None) -> Tensor:
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) * scale
    return logits if softcapping is None else softcapping * torch.tanh(logits / softcapping)


# What enable("fla") replaces: the recurrences, wherever wkv has kernels,
OPERATORS = {
    "fla.ops.rwkv4:fused_recurrent_rwkv4": fla.fused_recurrent_rwkv4,
    "fla.ops.rwkv6:chunk_rwkv6": fla.chunk_rwkv6,
    "fla.ops.rwkv6:fused_recurrent_rwkv6": fla.fused_recurrent_rwkv6,
    "fla.ops.rwkv7:chunk_rwkv7": fla.chunk_rwkv7,
    "fla.ops.rwkv7:fused_mul_recurrent_rwkv7": fla.fused_mul_recurrent_rwkv7,
    "fla.ops.rwkv7:fused_recurrent_rwkv7": fla.fused_recurrent_rwkv7,
}
# and, on a CPU, what these models need around them.
ON_CPU = {
    "fla.ops.rwkv7.fused_addcmul:fused_addcmul_rwkv7": fused_addcmul_rwkv7,
    "fla.ops.rwkv7.fused_k_update:fused_k_rwkv7": fused_k_rwkv7,
    "fla.ops.rwkv7.gate_output_correction:gate_output_correction": gate_output_correction,
    "fla.modules.token_shift:token_shift": token_shift,
    "fla.modules.layernorm:group_norm": group_norm,
    "fla.modules.layernorm:layer_norm": layer_norm,
    "fla.modules.l2norm:l2_norm": l2norm,
    "fla.modules.activations:sqrelu": sqrelu,
    "fla.modules.activations:swish": F.silu,
    "fla.modules.fused_cross_entropy:FusedCrossEntropyLoss.forward": cross_entropy_forward,
    "fla.modules.fused_linear_cross_entropy:fused_linear_cross_entropy_loss": fused_linear_cross_entropy_loss,
}
