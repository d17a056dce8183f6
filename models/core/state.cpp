// The State value: every operation acts on all entries alike.
#include "wkv/models/state.h"

#include <ATen/Functions.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include "wkv/error.h"

namespace wkv::models {
namespace {

template <typename F>
State transform(const State& state, F&& f) {
  State result;
  result.entries.reserve(state.entries.size());
  for (const auto& [name, tensor] : state.entries) result.entries.push_back({name, f(tensor)});
  return result;
}

}  // namespace

State State::clone() const {
  return transform(*this, [](const at::Tensor& t) { return t.clone(); });
}

State State::detach() const {
  return transform(*this, [](const at::Tensor& t) { return t.detach(); });
}

State State::to(at::Device device) const {
  return transform(*this, [&](const at::Tensor& t) { return t.to(device); });
}

State State::select(const std::vector<int64_t>& rows) const {
  for (int64_t row : rows) {
    if (row < 0 || row >= batch()) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("State::select: row {} is out of range: the state has {} rows", row, batch()));
    }
  }
  const at::Tensor index = at::tensor(rows, at::kLong);
  return transform(*this, [&](const at::Tensor& t) { return t.index_select(0, index.to(t.device())); });
}

State State::cat(const std::vector<State>& states) {
  State result;
  if (states.empty()) return result;
  for (const State& state : states) {
    if (state.entries.size() != states.front().entries.size()) {
      throw Error(ErrorCode::invalid_argument, fmt::format("State::cat: a state of {} entries among states of {}",
                                                           state.entries.size(), states.front().entries.size()));
    }
  }
  for (size_t i = 0; i < states.front().entries.size(); ++i) {
    const State::Entry& first = states.front().entries[i];
    std::vector<at::Tensor> tensors;
    for (const State& state : states) {
      const State::Entry& entry = state.entries[i];
      if (entry.name != first.name || entry.tensor.sizes().slice(1) != first.tensor.sizes().slice(1)) {
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("State::cat: the entry {} doesn't fit {}: the states are of different models",
                                entry.name, first.name));
      }
      tensors.push_back(entry.tensor);
    }
    result.entries.push_back({first.name, at::cat(tensors)});
  }
  return result;
}

}  // namespace wkv::models
