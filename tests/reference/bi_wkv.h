// bi_wkv as its equation says it, all pairs of tokens at once, in ATen ops: any dtype (float64 for a reference),
// differentiable, quadratic in the length; and the published kernels' deviation from it.
#pragma once
#include <ATen/ATen.h>

#include <utility>

namespace wkv::reference {

// [T, T, 1]: t - i
inline at::Tensor bi_wkv_distance(const at::Tensor& k) {
  const at::Tensor t = at::arange(k.size(1), k.options().requires_grad(false));
  return (t.unsqueeze(1) - t.unsqueeze(0)).unsqueeze(2);
}

// [B, T, T, C]: the logarithm of the weight of v_i in y_t.
inline at::Tensor bi_wkv_log_weights(const at::Tensor& w, const at::Tensor& u, const at::Tensor& k) {
  const at::Tensor distance = bi_wkv_distance(k);
  return k.unsqueeze(1) + at::where(distance == 0, u, -w * (distance.abs() - 1));
}

inline at::Tensor bi_wkv(const at::Tensor& w, const at::Tensor& u, const at::Tensor& k, const at::Tensor& v) {
  return (bi_wkv_log_weights(w, u, k).softmax(2) * v.unsqueeze(1)).sum(2);
}

// What v_i and 1 are multiplied by in the numerator and the denominator of y_t by a published kernel with `chunks`.
inline at::Tensor bi_wkv_published_weights(const at::Tensor& w, const at::Tensor& u, const at::Tensor& k,
                                           int64_t chunks) {
  const int64_t T = k.size(1), length = (T + chunks - 1) / chunks;
  const at::Tensor distance = bi_wkv_distance(k);
  const at::Tensor t = at::arange(T, k.options().requires_grad(false)), start = (t / length).floor() * length;
  const at::Tensor i = t.view({1, T, 1}), s = start.view({T, 1, 1}), zero = at::zeros({}, k.options());
  at::Tensor weight = at::where(distance == 0, u.exp(), zero);
  weight = weight + at::where(i < s, (-w * distance.abs()).exp(), zero);
  weight = weight + at::where((s <= i).logical_and(distance > 0), (-w * (distance.abs() - 1)).exp(), zero);
  weight = weight + at::where(distance < 0, (-w * distance.abs()).exp(), zero);
  weight = weight + at::where((s < i).logical_and(distance >= 0), (w * distance.abs()).exp() * (1 - w.exp()), zero);
  return weight * k.exp().unsqueeze(1);
}

inline at::Tensor bi_wkv_published(const at::Tensor& w, const at::Tensor& u, const at::Tensor& k, const at::Tensor& v,
                                   int64_t chunks) {
  const at::Tensor weights = bi_wkv_published_weights(w, u, k, chunks);
  return (weights * v.unsqueeze(1)).sum(2) / weights.sum(2);
}

// The published gradients of k and v: of the equation's weights, with the kernel's own y and denominator.
inline std::pair<at::Tensor, at::Tensor> bi_wkv_published_gradients(const at::Tensor& w, const at::Tensor& u,
                                                                    const at::Tensor& k, const at::Tensor& v,
                                                                    const at::Tensor& grad_y, int64_t chunks) {
  const at::Tensor weights = bi_wkv_published_weights(w, u, k, chunks);
  const at::Tensor y = (weights * v.unsqueeze(1)).sum(2);
  const at::Tensor share = bi_wkv_log_weights(w, u, k).exp() * (grad_y / weights.sum(2)).unsqueeze(2);
  return {(share * (v.unsqueeze(1) - (y / weights.sum(2)).unsqueeze(2))).sum(1), share.sum(1)};
}

}  // namespace wkv::reference
