// Multi-scale deformable attention (arXiv 2010.04159): each query looks at a few places of each map, at offsets from
// its own place that it chooses itself. Names and shapes as in the published checkpoints. M heads, L levels, P points.
#pragma once
#include <memory>
#include <vector>

#include "layers/linear.h"

namespace wkv::models {

// Maps of these heights and widths, whose tokens lie one map after the other, each row by row.
struct MapSize {
  int64_t height, width;
  int64_t places() const { return height * width; }
};
using MapSizes = std::vector<MapSize>;

// A map [B, C, h, w] to its tokens [B, h w, C], and back.
inline at::Tensor to_tokens(const at::Tensor& map) { return map.flatten(2).transpose(1, 2); }
inline at::Tensor to_map(const at::Tensor& tokens, const MapSize& size) {
  // Contiguous: of a view of a single image PyTorch's batch norm gives wrong gradients on the CPU (2.11).
  return tokens.transpose(1, 2).reshape({tokens.size(0), tokens.size(2), size.height, size.width}).contiguous();
}

struct DeformableAttention : torch::nn::Module {
  struct Sizes {
    int64_t width, heads, levels, points;
    int64_t value_width;  // a multiple of the heads
  };
  explicit DeformableAttention(const Sizes& sizes);
  // query [B, Q, C], which are the tokens of the maps query_maps; features [B, S, C], those of feature_maps, L of them.
  // Returns [B, Q, C].
  at::Tensor forward(const at::Tensor& query, const MapSizes& query_maps, const at::Tensor& features,
                     const MapSizes& feature_maps) const;
  void initialise() const;

  int64_t heads, levels, points;
  std::shared_ptr<Linear> sampling_offsets;   // C to M L P 2, in places of the level
  std::shared_ptr<Linear> attention_weights;  // C to M L P
  std::shared_ptr<Linear> value_proj, output_proj;
};

}  // namespace wkv::models
