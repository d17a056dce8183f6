// sliding_window_attention as its equations say it, in ATen ops: any dtype (float64 for a reference), differentiable,
// slow.
#pragma once
#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <tuple>

namespace wkv::reference {

// past_k, past_v may be undefined; the scale is D^-0.5.
inline std::tuple<at::Tensor, at::Tensor, at::Tensor> sliding_window_attention(const at::Tensor& q, const at::Tensor& k,
                                                                               const at::Tensor& v, int64_t keys_back,
                                                                               const at::Tensor& past_k,
                                                                               const at::Tensor& past_v) {
  const at::Tensor all_k = past_k.defined() ? at::cat({past_k, k}, 1) : k,
                   all_v = past_v.defined() ? at::cat({past_v, v}, 1) : v;
  const int64_t keys = all_k.size(1), past = keys - k.size(1);
  const at::Tensor distance = (at::arange(q.size(1)) + past).unsqueeze(1) - at::arange(keys).unsqueeze(0);
  const at::Tensor unseen = (distance < 0).logical_or(distance > keys_back);
  const at::Tensor scores = at::matmul(q.transpose(1, 2), all_k.permute({0, 2, 3, 1})) *
                            std::pow(static_cast<double>(q.size(3)), -0.5);  // [B, H, T, P + T]
  const at::Tensor p = scores.masked_fill(unseen, -std::numeric_limits<double>::infinity()).softmax(-1);
  const int64_t window = std::min(keys_back + 1, keys);
  return {at::matmul(p, all_v.transpose(1, 2)).transpose(1, 2), all_k.narrow(1, keys - window, window),
          all_v.narrow(1, keys - window, window)};
}

}  // namespace wkv::reference
