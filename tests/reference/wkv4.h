// wkv4 as its equations say it, in ATen ops: any dtype (float64 for a reference), differentiable, slow.
#pragma once
#include <ATen/ATen.h>

#include <utility>

namespace wkv::reference {

// state: [B, 3, C], rows aa, bb, pp; undefined: empty.
inline std::pair<at::Tensor, at::Tensor> wkv4(const at::Tensor& w, const at::Tensor& u, const at::Tensor& k,
                                              const at::Tensor& v, const at::Tensor& state = {}) {
  const int64_t batch = k.size(0), channels = k.size(2);
  at::Tensor aa = state.defined() ? state.select(1, 0) : at::zeros({batch, channels}, k.options());
  at::Tensor bb = state.defined() ? state.select(1, 1) : at::zeros({batch, channels}, k.options());
  at::Tensor pp = state.defined() ? state.select(1, 2) : at::full({batch, channels}, -1e38, k.options());
  const at::Tensor log_decay = -w.exp();
  std::vector<at::Tensor> y;
  for (int64_t t = 0; t < k.size(1); ++t) {
    const at::Tensor key = k.select(1, t), value = v.select(1, t);
    const auto with = [&](const at::Tensor& exponent,
                          const at::Tensor& own) {  // aa, bb with the token, and its maximum
      const at::Tensor q = at::maximum(exponent, own), e1 = (exponent - q).exp(), e2 = (own - q).exp();
      return std::tuple(e1 * aa + e2 * value, e1 * bb + e2, q);
    };
    const auto [values, weights, unused] = with(pp, u + key);
    y.push_back(values / weights);
    std::tie(aa, bb, pp) = with(pp + log_decay, key);
  }
  return {y.empty() ? at::zeros_like(v) : at::stack(y, 1), at::stack({aa, bb, pp}, 1)};
}

}  // namespace wkv::reference
