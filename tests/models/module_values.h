// A module outside of any model: a fixture's values in it, and its gradients against the fixture's.
#pragma once
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>

#include <map>
#include <string>

#include "support/fixture.h"

namespace wkv::test {

// Parameters and buffers, by name.
inline std::map<std::string, at::Tensor> values_of(const torch::nn::Module& module) {
  std::map<std::string, at::Tensor> values;
  for (const auto& item : module.named_parameters()) values[item.key()] = item.value();
  for (const auto& item : module.named_buffers()) values[item.key()] = item.value();
  return values;
}

// The module has these names and shapes, and takes the values.
inline void set_values(const torch::nn::Module& module, const std::map<std::string, at::Tensor>& values) {
  const at::NoGradGuard no_grad;
  auto own = values_of(module);
  EXPECT_EQ(own.size(), values.size());
  for (const auto& [name, value] : values) {
    ASSERT_TRUE(own.contains(name)) << name;
    ASSERT_EQ(own[name].sizes(), value.sizes()) << name;
    own[name].copy_(value);
  }
}

// Relative to each parameter's largest entry.
inline void expect_gradients(const torch::nn::Module& module, const std::map<std::string, at::Tensor>& expected,
                             double tolerance) {
  const auto parameters = module.named_parameters();
  EXPECT_EQ(parameters.size(), expected.size());
  for (const auto& [name, gradient] : expected) {
    ASSERT_TRUE(parameters.contains(name)) << name;
    ASSERT_TRUE(parameters[name].grad().defined()) << name;
    EXPECT_LT(relative_error(parameters[name].grad(), gradient), tolerance) << name;
  }
}

}  // namespace wkv::test
