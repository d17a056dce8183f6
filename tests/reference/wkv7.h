// wkv7 as its equations say it, in ATen ops: any dtype (float64 for a reference), differentiable, slow.
#pragma once
#include <ATen/ATen.h>

#include <utility>

namespace wkv::reference {

inline std::pair<at::Tensor, at::Tensor> wkv7(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k,
                                              const at::Tensor& v, const at::Tensor& a, const at::Tensor& b,
                                              at::Tensor S, bool log_decay = false) {
  const auto row = [](const at::Tensor& x, int64_t t) { return x.select(1, t).unsqueeze(-2); };     // [B, H, 1, N]
  const auto column = [](const at::Tensor& x, int64_t t) { return x.select(1, t).unsqueeze(-1); };  // [B, H, M, 1]
  if (!S.defined()) S = at::zeros({r.size(0), r.size(2), v.size(3), r.size(3)}, r.options());
  const at::Tensor d = log_decay ? w.exp() : (-w.exp()).exp();
  std::vector<at::Tensor> y;
  for (int64_t t = 0; t < r.size(1); ++t) {
    const at::Tensor sa = (S * row(a, t)).sum(-1, true);
    S = S * row(d, t) + sa * row(b, t) + column(v, t) * row(k, t);
    y.push_back((S * row(r, t)).sum(-1));
  }
  return {y.empty() ? at::zeros_like(v) : at::stack(y, 1), S};
}

}  // namespace wkv::reference
