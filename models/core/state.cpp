// The State value: every operation acts on all entries alike.
#include "wkv/models/state.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

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

// Pasts of different lengths [B, P, ...] to the longest: zeros at the beginning stand for nothing.
void pad_pasts(std::vector<at::Tensor>& pasts) {
  int64_t longest = 0;
  for (const at::Tensor& past : pasts) longest = std::max(longest, past.size(1));
  for (at::Tensor& past : pasts) {
    std::vector<int64_t> sizes = past.sizes().vec();
    sizes[1] = longest - past.size(1);
    past = at::cat({at::zeros(sizes, past.options()), past}, 1);
  }
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

void State::put(const std::vector<int64_t>& rows, const State& state) {
  const auto refuse = [](const std::string& message) {
    throw Error(ErrorCode::invalid_argument, "State::put: " + message);
  };
  if (static_cast<int64_t>(rows.size()) != state.batch() || entries.size() != state.entries.size()) {
    refuse(fmt::format("{} rows for a state of {} rows and {} entries, in one of {} entries", rows.size(),
                       state.batch(), state.entries.size(), entries.size()));
  }
  std::set<int64_t> seen;
  for (int64_t row : rows) {
    if (row < 0 || row >= batch() || !seen.insert(row).second) {
      refuse(fmt::format("rows must be distinct and in 0..{}, got {}", batch() - 1, row));
    }
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    const Entry &here = entries[i], &there = state.entries[i];
    if (here.name != there.name || here.tensor.sizes().slice(1) != there.tensor.sizes().slice(1)) {
      refuse(fmt::format("the entry {} doesn't fit {}: the states are of different models", there.name, here.name));
    }
  }
  const at::NoGradGuard no_grad;
  const at::Tensor index = at::tensor(rows, at::kLong);
  for (size_t i = 0; i < entries.size(); ++i) {
    at::Tensor& pool = entries[i].tensor;
    pool.index_copy_(0, index.to(pool.device()), state.entries[i].tensor.to(pool.options()));
  }
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
      if (entry.name != first.name ||
          (!grows(entry.name) && entry.tensor.sizes().slice(1) != first.tensor.sizes().slice(1)) ||
          entry.tensor.dim() != first.tensor.dim()) {
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("State::cat: the entry {} doesn't fit {}: the states are of different models",
                                entry.name, first.name));
      }
      tensors.push_back(entry.tensor);
    }
    if (grows(first.name)) pad_pasts(tensors);
    result.entries.push_back({first.name, at::cat(tensors)});
  }
  return result;
}

}  // namespace wkv::models
