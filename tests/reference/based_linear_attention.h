// based_linear_attention as its equations say it, in ATen ops: any dtype (float64 for a reference), differentiable,
// slow.
#pragma once
#include <ATen/ATen.h>

#include <cmath>
#include <tuple>

namespace wkv::reference {

// The Taylor features: [1, x_i / d^(1/4), x_i x_j / (sqrt(2) sqrt(d))] along the last dimension.
inline at::Tensor taylor_features(const at::Tensor& x) {
  const double root = std::sqrt(static_cast<double>(x.size(-1)));
  const at::Tensor squares = (x.unsqueeze(-1) * x.unsqueeze(-2)).flatten(-2) / (std::sqrt(2.0) * root);
  return at::cat({at::ones_like(x.narrow(-1, 0, 1)), x / std::sqrt(root), squares}, -1);
}

inline std::tuple<at::Tensor, at::Tensor, at::Tensor> based_linear_attention(const at::Tensor& q, const at::Tensor& k,
                                                                             const at::Tensor& v, at::Tensor kv_state,
                                                                             at::Tensor k_state, bool normalize = true,
                                                                             double eps = 1e-12) {
  const int64_t B = q.size(0), H = q.size(2), d = q.size(3), D = 1 + d + d * d;
  if (!kv_state.defined()) kv_state = at::zeros({B, H, v.size(3), D}, q.options());
  if (!k_state.defined()) k_state = at::zeros({B, H, D}, q.options());
  const at::Tensor queries = taylor_features(q.transpose(1, 2)), keys = taylor_features(k.transpose(1, 2)),
                   values = v.transpose(1, 2);  // [B, H, T, ...]
  const at::Tensor a = at::matmul(queries, keys.transpose(-1, -2)).tril();
  at::Tensor y = at::matmul(a, values) + at::matmul(queries, kv_state.transpose(-1, -2));
  const at::Tensor z = a.sum(-1, true) + at::matmul(queries, k_state.unsqueeze(-1));
  if (normalize) y = y / (z + eps);
  return {y.transpose(1, 2), kv_state + at::matmul(values.transpose(-1, -2), keys), k_state + keys.sum(-2)};
}

}  // namespace wkv::reference
