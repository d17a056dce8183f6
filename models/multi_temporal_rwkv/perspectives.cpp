// See perspectives.h: folding is a repetition along the batch, or along time with the boundaries moved.
#include "multi_temporal_rwkv/perspectives.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <vector>

namespace wkv::models {
namespace {

Sequences repeated(int64_t count, const Sequences& sequences, at::Device device) {
  if (!sequences.cu_seqlens) return Sequences::rows(count * sequences.count);
  const at::Tensor& bounds = *sequences.cu_seqlens;
  const int64_t time = bounds[-1].item<int64_t>();
  std::vector<at::Tensor> all = {bounds};
  for (int64_t p = 1; p < count; ++p) all.push_back(bounds.slice(0, 1) + p * time);
  return Sequences::packed(at::cat(all), device);
}

}  // namespace

Perspectives::Perspectives(int64_t count, const Sequences& sequences, at::Device device)
    : count_(count), sequences_(sequences), folded_(repeated(count, sequences, device)) {}

at::Tensor Perspectives::fold(const at::Tensor& x) const {
  return sequences_.cu_seqlens ? x.repeat({1, count_, 1}) : x.repeat({count_, 1, 1});
}

at::Tensor Perspectives::unfold(const at::Tensor& x, int64_t batch) const {
  const int64_t time = sequences_.cu_seqlens ? x.size(1) / count_ : x.size(1);
  return x.reshape({count_, batch, time, x.size(2)});
}

State Perspectives::read(const State& state) const {
  State folded;
  for (const auto& [name, tensor] : state.entries)
    folded.entries.push_back({name, sequences_.read(tensor).transpose(0, 1).flatten(0, 1)});
  return folded;
}

void Perspectives::write(State& state, const State& folded) const {
  for (size_t i = 0; i < state.entries.size(); ++i) {
    const at::Tensor& rows = folded.entries[i].tensor;
    const at::Tensor unfolded = rows.unflatten(0, {count_, rows.size(0) / count_});
    sequences_.write(state.entries[i].tensor, unfolded.transpose(0, 1).contiguous());
  }
}

}  // namespace wkv::models
