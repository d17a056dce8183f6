// What Vision-RWKV's layers are made of, beside the operators of ops.h; internal.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

#include "wkv/export.h"

namespace wkv::ops {

// Tokens mixed with their neighbours x' = q_shift(x), in several ways at once (torch.ops.wkv._mix_neighbours):
// mixed[m]_t = x_t + (x'_t - x_t) (mixes[m] + changes[m]_t). x: [B, T, C]; mixes: [M, C], up to 8 rows, fp32 or of the
// dtype of x as the others; changes: [M, B, T, C], none: zeros; the rest as in q_shift. Returns mixed [M, B, T, C].
WKV_API at::Tensor mix_neighbours(const at::Tensor& x, const at::Tensor& mixes,
                                  const std::optional<at::Tensor>& changes, int64_t height, int64_t width,
                                  double gamma = 0.25, int64_t shift = 1, int64_t head_size = 0,
                                  int64_t cls_tokens = 0);

}  // namespace wkv::ops
