// wkv6 and wkv5, and bi_wkv6, as their equations say it, in ATen ops: any dtype (float64 for a reference),
// differentiable, slow.
#pragma once
#include <ATen/ATen.h>

#include <utility>
#include <vector>

namespace wkv::reference {

inline at::Tensor decay_factor(const at::Tensor& w, bool log_decay) { return log_decay ? w.exp() : (-w.exp()).exp(); }

// w: [B, T, H, N], or [H, N] for wkv5.
inline std::pair<at::Tensor, at::Tensor> wkv6(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v,
                                              const at::Tensor& w, const at::Tensor& u, at::Tensor S,
                                              bool log_decay = false) {
  const auto row = [](const at::Tensor& x, int64_t t) { return x.select(1, t).unsqueeze(-2); };     // [B, H, 1, N]
  const auto column = [](const at::Tensor& x, int64_t t) { return x.select(1, t).unsqueeze(-1); };  // [B, H, M, 1]
  if (!S.defined()) S = at::zeros({r.size(0), r.size(2), v.size(3), r.size(3)}, r.options());
  const at::Tensor d = decay_factor(w, log_decay).expand(r.sizes());
  std::vector<at::Tensor> y;
  for (int64_t t = 0; t < r.size(1); ++t) {
    const at::Tensor kv = column(v, t) * row(k, t);
    y.push_back(((S + u.unsqueeze(-2) * kv) * row(r, t)).sum(-1));
    S = S * row(d, t) + kv;
  }
  return {y.empty() ? at::zeros_like(v) : at::stack(y, 1), S};
}

inline at::Tensor bi_wkv6(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v, const at::Tensor& w,
                          const at::Tensor& u) {
  if (r.size(1) == 0) return at::zeros_like(v);
  const auto [left, left_state] = wkv6(r, k, v, w, u, {});
  const auto [right, right_state] = wkv6(r.flip(1), k.flip(1), v.flip(1), w.flip(1), at::zeros_like(u), {});
  // Without tokens between two others w has no effect, but a gradient: zero.
  return left + right.flip(1) + 0 * w.sum();
}

}  // namespace wkv::reference
