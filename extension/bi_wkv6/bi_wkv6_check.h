// What bi_wkv6 and _bi_wkv6_backward refuse, for their kernels and their meta functions.
#pragma once
#include "wkv6/wkv6_check.h"

namespace wkv {

template <class Tensor>
void check_bi_wkv6(const char* op, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
                   const Tensor& u) {
  check_wkv6<Tensor>(op, Decay::kPerToken, r, k, v, w, u, std::nullopt, std::nullopt);
}

// The gradient of the output, for arguments that check_bi_wkv6 let through.
template <class Tensor>
void check_bi_wkv6_gradient(const char* op, const Tensor& grad_y, const Tensor& r, const Tensor& v) {
  const Check<Tensor> check{op};
  check.shape("grad_y", grad_y, "[B, T, H, M]", sizes_of(v));
  check.dtype("grad_y", grad_y, {r.scalar_type()});
  check.same_device("grad_y", grad_y, "r", r);
}

}  // namespace wkv
