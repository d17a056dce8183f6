// Stochastic depth: in training, a residual branch is left out for some of the samples, and counts for more in the
// rest.
#pragma once
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace wkv::models {

// Of a block: from 0 at the first it rises linearly to that of the last.
inline double path_rate(double rate_of_last, int64_t layer, int64_t layers) {
  return layer == 0 ? 0 : rate_of_last * static_cast<double>(layer) / static_cast<double>(layers - 1);
}

// What a branch of so many samples is multiplied by, [B, 1, 1]: 0 with probability `rate`, else 1 / (1 - rate).
// Undefined where nothing is left out.
inline at::Tensor draw_path(const at::Tensor& x, double rate, bool training) {
  if (!training || rate == 0) return {};
  return at::empty({x.size(0), 1, 1}, x.options()).bernoulli_(1 - rate).div_(1 - rate);
}

inline at::Tensor along_path(const at::Tensor& branch, const at::Tensor& path) {
  return path.defined() ? branch * path : branch;
}

}  // namespace wkv::models
