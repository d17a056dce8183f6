// Attention without softmax over every token so far: the state keeps all keys and values.
#pragma once
#include <ATen/Functions.h>
#include <fmt/format.h>

#include <vector>

#include "core/sequences.h"
#include "wkv/error.h"
#include "wkv/models/state.h"

namespace wkv::models {

inline at::Tensor causal_mask(int64_t context) { return at::tril(at::ones({context, context})); }

// weigh(scores, values) of every position's scores q_t . k_s, 0 for s > t: [B, T, P + T] and [B, P + T, ...] to
// [B, T, C]. q, k [B, T, d]; values [B, T, ...]; past_k, past_values [rows, P, ...] are those of the tokens ahead,
// zeros where there are none, and become those after the last token.
template <typename Weigh>
at::Tensor attend_past(const at::Tensor& q, const at::Tensor& k, const at::Tensor& values, at::Tensor& past_k,
                       at::Tensor& past_values, const Sequences& sequences, Weigh&& weigh) {
  if (!sequences.cu_seqlens) {
    const int64_t past = past_k.size(1);
    if (past_values.size(1) != past) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("the state has {} past keys and {} past values", past, past_values.size(1)));
    }
    past_k = at::cat({past_k.to(k.scalar_type()), k}, 1);
    past_values = at::cat({past_values.to(values.scalar_type()), values}, 1);
    return weigh(at::matmul(q, past_k.transpose(1, 2)).tril(past), past_values);
  }
  // One sequence after another; with none, an empty row of scores gives the result its shape.
  std::vector<at::Tensor> results = {weigh(at::zeros({1, 0, 0}, q.options()), values.narrow(1, 0, 0))};
  std::vector<State> pasts;
  const auto* bounds = sequences.cu_seqlens->const_data_ptr<int64_t>();
  for (int64_t s = 0; s < sequences.count; ++s) {
    const auto own = [&](const at::Tensor& x) { return x.slice(1, bounds[s], bounds[s + 1]); };
    at::Tensor own_k = past_k.narrow(0, s, 1), own_values = past_values.narrow(0, s, 1);
    results.push_back(attend_past(own(q), own(k), own(values), own_k, own_values, Sequences::rows(1), weigh));
    pasts.push_back({{{"past_k", own_k}, {"past_values", own_values}}});
  }
  if (!pasts.empty()) {
    const State joined = State::cat(pasts);  // zeros ahead of the shorter ones
    past_k = joined.entries[0].tensor;
    past_values = joined.entries[1].tensor;
  }
  return at::cat(results, 1);
}

}  // namespace wkv::models
