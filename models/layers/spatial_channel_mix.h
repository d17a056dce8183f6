// The channel mix of Vision-RWKV's blocks: sigmoid(Wr x_r) * Wv relu(Wk x_k)^2, x_r and x_k mixed with their
// neighbours.
#pragma once
#include <memory>

#include "layers/in_place.h"
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
    at::Tensor gate = sigmoid_of(receptance->forward(for_r));
    if (at::GradMode::is_enabled() || x.is_cuda()) return gate * values(for_k);
    // Few tokens at a time: their hidden values, four times as wide, then stay in the cache.
    constexpr int64_t kTokens = 1024;
    const auto gates = gate.view({-1, gate.size(2)}).split(kTokens), inputs = for_k.flatten(0, 1).split(kTokens);
    for (size_t i = 0; i < gates.size(); ++i) gates[i].mul_(values(inputs[i]));
    return gate;
  }
  at::Tensor values(const at::Tensor& for_k) const {
    const at::Tensor hidden = ops::squared_relu(key->forward(for_k));
    return value->forward(key_norm ? key_norm->forward(hidden) : hidden);
  }

  QuadShift shift;
  at::Tensor spatial_mix_k, spatial_mix_r;  // [1, 1, C], the share of the token itself
  std::shared_ptr<Linear> key, receptance, value;
  std::shared_ptr<LayerNorm> key_norm;
};

}  // namespace wkv::models
