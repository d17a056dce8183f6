// Rotary position embedding (arXiv 2104.09864) over whole heads, as GPT-NeoX lays it out: the element m of a head's
// first half turns with the element m of its second half, by the angle position * base^(-2 m / D).
#pragma once
#include <ATen/core/Tensor.h>

#include "core/sequences.h"

namespace wkv::models {

// Positions of tokens [B, T] whose sequences have seen `before` (int64 [rows]) tokens, and what they will have seen.
struct TokenPositions {
  TokenPositions(const at::Tensor& tokens, const at::Tensor& before, const Sequences& sequences);
  at::Tensor of_tokens, after;
};

class WKV_API Rotation {
 public:
  // positions: int64 [B, T]; for heads of this size. `like`: the model's dtype and device.
  Rotation(const at::Tensor& positions, int64_t head_size, double base, const at::Tensor& like);
  at::Tensor apply(const at::Tensor& x) const;  // x [B, T, H, D]

 private:
  at::Tensor cos_, sin_;  // [B, T, 1, D / 2], fp32 (fp64 for an fp64 model)
};

}  // namespace wkv::models
