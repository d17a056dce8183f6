// A module outside of any model, with the values of a fixture.
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

}  // namespace wkv::test
