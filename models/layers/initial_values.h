// Pieces of the published initial values that several models share.
#pragma once
#include <ATen/Functions.h>
#include <torch/nn/init.h>

#include <algorithm>
#include <cmath>

#include "layers/linear.h"

namespace wkv::models {

// Where a layer stands among the layers.
struct Depth {
  double up;    // 0 at the first layer, 1 at the last; 0 for a single layer, where upstream divides by zero
  double down;  // 1 at the first layer, towards 0
};

inline Depth depth(int64_t layer, int64_t layers) {
  const double up = layers > 1 ? static_cast<double>(layer) / static_cast<double>(layers - 1) : 0.0;
  return {up, 1.0 - static_cast<double>(layer) / static_cast<double>(layers)};
}

// f(n) for every element n = 0, 1, ... of the parameter.
template <typename F>
void set_channels(const at::Tensor& parameter, F&& f) {
  at::Tensor values = at::empty({parameter.numel()}, at::kDouble);
  auto* out = values.mutable_data_ptr<double>();
  for (int64_t n = 0; n < parameter.numel(); ++n) out[n] = f(static_cast<double>(n));
  parameter.copy_(values.view(parameter.sizes()));
}

// Decay and bonus of RWKV-5.2 and 6, channel by channel. up: of the layer.
inline void set_decay(const at::Tensor& parameter, double up) {
  const double last = std::max(static_cast<double>(parameter.numel() - 1), 1.0);
  set_channels(parameter, [&](double n) { return -6 + 5 * std::pow(n / last, 0.7 + 1.3 * up); });
}
inline void set_bonus(const at::Tensor& parameter, double up) {
  const double last = std::max(static_cast<double>(parameter.numel() - 1), 1.0);
  set_channels(parameter, [&](double n) { return up * (1 - n / last) + 0.1 * (std::fmod(n + 1, 3) - 1); });
}

template <typename Norm>
void set_identity(const Norm& norm) {
  torch::nn::init::ones_(norm.weight);
  torch::nn::init::zeros_(norm.bias);
}

}  // namespace wkv::models
