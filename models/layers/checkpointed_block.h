// A language model's block with or without gradient checkpointing.
#pragma once
#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include <span>
#include <utility>
#include <vector>

#include "layers/checkpointed.h"
#include "wkv/models/state.h"

namespace wkv::models {

// f(x, entries): the block's output, its entries of the state replaced. With `checkpointing` training keeps x and the
// entries alone, and f, which then lives as long as the graph, is called a second time. beside: tensors, other than the
// block's parameters, that f depends on and that may need a gradient.
template <typename F>
at::Tensor run_block(bool checkpointing, const torch::nn::Module& block, const at::Tensor& x,
                     std::span<State::Entry> entries, F f, const std::vector<at::Tensor>& beside = {}) {
  if (!checkpointing || !at::GradMode::is_enabled()) return f(x, entries.data());
  std::vector<at::Tensor> inputs = {x}, parameters = block.parameters();
  for (const State::Entry& entry : entries) inputs.push_back(entry.tensor);
  parameters.insert(parameters.end(), beside.begin(), beside.end());
  const auto recompute = [f = std::move(f)](const std::vector<at::Tensor>& values) {
    std::vector<State::Entry> own;
    for (size_t i = 1; i < values.size(); ++i) own.push_back({{}, values[i]});
    std::vector<at::Tensor> outputs = {f(values[0], own.data())};
    for (const State::Entry& entry : own) outputs.push_back(entry.tensor);
    return outputs;
  };
  const std::vector<at::Tensor> outputs = checkpointed(recompute, inputs, parameters);
  for (size_t i = 0; i < entries.size(); ++i) entries[i].tensor = outputs[i + 1];
  return outputs[0];
}

}  // namespace wkv::models
