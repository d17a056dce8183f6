// What the tests of the fused steps share.
#pragma once
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>

namespace wkv::test {

// A model whose parameters all matter: the recipe starts many of them as zeros. Model: a module holder.
template <class Model, class Options>
Model busy_model(Options options, at::ScalarType dtype = at::kFloat) {
  options.layers = 3;
  options.vocab = 77;
  at::manual_seed(1);
  Model model(options);
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) {
    const double scale = parameter.dim() == 2 ? 1 / std::sqrt(static_cast<double>(parameter.size(1))) : 0.3;
    parameter.add_(at::randn_like(parameter) * scale);
    parameter.set_data(parameter.to(dtype));
  }
  return model;
}

// The largest difference, relative to the largest expected value.
inline double largest_error(const at::Tensor& actual, const at::Tensor& expected) {
  return ((actual - expected).abs().max() / expected.abs().max()).to(at::kDouble).item<double>();
}

// The root mean square of the differences, relative to that of the expected values.
inline double mean_error(const at::Tensor& actual, const at::Tensor& expected) {
  return ((actual - expected).norm() / expected.norm()).to(at::kDouble).item<double>();
}

// On the whole half precision costs the fused steps no more than the separate operators; which of them has the largest
// single error is a matter of chance.
inline void expect_as_close(const at::Tensor& fused, const at::Tensor& separate, const at::Tensor& exact) {
  EXPECT_LE(mean_error(fused.to(at::kFloat), exact), mean_error(separate.to(at::kFloat), exact));
  EXPECT_LE(largest_error(fused.to(at::kFloat), exact), 1.5 * largest_error(separate.to(at::kFloat), exact));
}

}  // namespace wkv::test
