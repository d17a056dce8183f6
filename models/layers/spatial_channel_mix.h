// The channel mix of Vision-RWKV's blocks: sigmoid(Wr x_r) * Wv relu(Wk x_k)^2, x_r and x_k mixed with their
// neighbours.
#pragma once
#include <memory>

#include "layers/linear.h"
#include "layers/quad_shift.h"

namespace wkv::models {

struct SpatialChannelMix : torch::nn::Module {
  SpatialChannelMix(int64_t width, int64_t hidden, bool with_key_norm, const QuadShift& shift_) : shift(shift_) {
    if (shift.pixels > 0) {
      spatial_mix_k = register_parameter("spatial_mix_k", at::empty({1, 1, width}));
      spatial_mix_r = register_parameter("spatial_mix_r", at::empty({1, 1, width}));
    }
    key = register_module("key", std::make_shared<Linear>(width, hidden));
    if (with_key_norm) key_norm = register_module("key_norm", std::make_shared<LayerNorm>(hidden));
    receptance = register_module("receptance", std::make_shared<Linear>(width, width));
    value = register_module("value", std::make_shared<Linear>(hidden, width));
  }

  // x [B, T, C], as the block's norms left it.
  at::Tensor forward(const at::Tensor& x, const PatchGrid& grid) const {
    at::Tensor for_k = x, for_r = x;
    if (shift.pixels > 0) {
      const auto mixed = mix_neighbours(x, grid, shift, {1 - spatial_mix_k, 1 - spatial_mix_r});
      for_k = mixed[0];
      for_r = mixed[1];
    }
    at::Tensor hidden = ops::squared_relu(key->forward(for_k));
    if (key_norm) hidden = key_norm->forward(hidden);
    return at::sigmoid(receptance->forward(for_r)) * value->forward(hidden);
  }

  QuadShift shift;
  at::Tensor spatial_mix_k, spatial_mix_r;  // [1, 1, C], the share of the token itself
  std::shared_ptr<Linear> key, receptance, value;
  std::shared_ptr<LayerNorm> key_norm;
};

}  // namespace wkv::models
