// The parameter groups of the published RWKV recipes.
#pragma once
#include <torch/nn/module.h>

#include <string>
#include <utility>
#include <vector>

#include "wkv/models/language_model.h"

namespace wkv::models {

// Parameters whose names end in .att.time_state are a tuned initial state, and where there are any, only they are
// trained. Else the weights of two dimensions are decayed; those whose names end as in `faster` learn so many times
// faster; the rest is plain.
inline std::vector<ParameterGroup> recipe_groups(const torch::nn::Module& model,
                                                 const std::vector<std::pair<std::string, double>>& faster) {
  ParameterGroup plain, matrices{.names = {}, .weight_decay = true}, states{.names = {}, .weight_decay = true};
  std::vector<ParameterGroup> scaled;
  for (const auto& [ending, scale] : faster) scaled.push_back({.names = {}, .learning_rate_scale = scale});
  const auto group_of = [&](const std::string& name, const at::Tensor& value) -> ParameterGroup& {
    if (name.ends_with(".att.time_state")) return states;
    for (size_t i = 0; i < faster.size(); ++i)
      if (name.ends_with(faster[i].first)) return scaled[i];
    return name.ends_with(".weight") && value.dim() >= 2 ? matrices : plain;
  };
  for (const auto& parameter : model.named_parameters())
    group_of(parameter.key(), parameter.value()).names.push_back(parameter.key());
  if (!states.names.empty()) return {states};
  scaled.insert(scaled.begin(), plain);
  scaled.push_back(matrices);
  return scaled;
}

}  // namespace wkv::models
