// Quad-directional shift: each token of a grid of patches also sees one of its four neighbours, which one depends on
// the channel.
#pragma once
#include <ATen/Functions.h>

#include <optional>
#include <vector>

#include "wkv/vision_ops.h"

namespace wkv::models {

// How tokens lie: a grid of patches, row by row, then the class tokens.
struct PatchGrid {
  int64_t height, width, class_tokens = 0;
  int64_t patches() const { return height * width; }
};

// See ops::q_shift.
struct QuadShift {
  int64_t pixels = 1;  // 0: no shift, and no mixes
  double gamma = 0.25;
  int64_t head_size = 0;
};

// x [B, T, C] mixed with its neighbours x': x + (x' - x) * (mixes[m] + changes[m]) for each of the mixes [1, 1, C], to
// which the changes [M, B, T, C] are added.
inline std::vector<at::Tensor> mix_neighbours(const at::Tensor& x, const PatchGrid& grid, const QuadShift& shift,
                                              const std::vector<at::Tensor>& mixes,
                                              const std::optional<at::Tensor>& changes = std::nullopt) {
  const at::Tensor weights = at::cat(mixes).squeeze(1);
  const auto added = changes ? std::optional(changes->to(x.scalar_type())) : std::nullopt;  // autocast's are of another
  return ops::mix_neighbours(x, weights, added, grid.height, grid.width, shift.gamma, shift.pixels, shift.head_size,
                             grid.class_tokens)
      .unbind();
}

}  // namespace wkv::models
