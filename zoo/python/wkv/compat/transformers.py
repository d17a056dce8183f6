"""The function that transformers' RWKV-4 computes with, on wkv4: its arguments and results."""
import torch
from torch import Tensor


def rwkv_linear_attention(
    time_decay: Tensor,
    time_first: Tensor,
    key: Tensor,
    value: Tensor,
    state: tuple[Tensor, Tensor, Tensor] | None = None,
    return_state: bool = False,
) -> tuple[Tensor, list[Tensor] | None]:
    """key, value: [B,T,C]; state: numerator, denominator and maximum, [B,C] each."""
    return_state = return_state or state is not None
    if state is not None:
        state = torch.stack(tuple(state), 1).to(torch.promote_types(key.dtype, torch.float32))
    y, state = torch.ops.wkv.wkv4(time_decay, time_first, key, value, state)
    return y, list(state.unbind(1)) if return_state else None


# What enable("transformers") replaces.
OPERATORS = {"transformers.models.rwkv.modeling_rwkv:rwkv_linear_attention": rwkv_linear_attention}
