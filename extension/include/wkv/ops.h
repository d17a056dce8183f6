// The ops, typed, through the dispatcher: what torch.ops.wkv.* is in Python. Each is differentiable in every
// floating-point input.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

#include "wkv/export.h"

namespace wkv::ops {

// WKV-7, the state update of RWKV-7 (arXiv 2503.14456, equations 16-18), for a state S [value, key] of each head:
//   S_t = S_{t-1} (diag(d_t) + a_t b_t^T) + v_t k_t^T,   y_t = S_t r_t,   d_t = exp(-exp(w_t))  (log_decay: d_t =
//   exp(w_t)).
// r, w, k, a, b: [B, T, H, N]; v: [B, T, H, M]; state: [B, H, M, N], fp32 (fp64 for fp64 inputs), none: zeros.
// cu_seqlens: int32 or int64 [S + 1], packs S sequences along T (B = 1); state then has S rows.
// Returns y [B, T, H, M] in the dtype of k, and the final state. Throws std::runtime_error that names the argument at
// fault.
WKV_API std::tuple<at::Tensor, at::Tensor> wkv7(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k,
                                                const at::Tensor& v, const at::Tensor& a, const at::Tensor& b,
                                                const std::optional<at::Tensor>& state = std::nullopt,
                                                const std::optional<at::Tensor>& cu_seqlens = std::nullopt,
                                                bool log_decay = false);

}  // namespace wkv::ops
