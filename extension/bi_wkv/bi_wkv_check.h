// What bi_wkv and _bi_wkv_backward refuse, for their kernels and their meta functions.
#pragma once
#include "core/check.h"

namespace wkv {

template <class Tensor>
void check_bi_wkv(const char* op, const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v,
                  int64_t compat_chunks) {
  const Check<Tensor> check{op};
  check.dimensions("k", k, "[B, T, C]", 3);
  const auto shape = sizes_of(k);
  check.shape("w", w, "[C]", {shape[2]});
  check.shape("u", u, "[C]", {shape[2]});
  check.shape("v", v, "[B, T, C]", shape);
  check.dtype("k", k, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double});
  check.parameter_dtype("w", w, k.scalar_type());
  check.parameter_dtype("u", u, k.scalar_type());
  check.dtype("v", v, {k.scalar_type()});
  check.same_device("w", w, "k", k);
  check.same_device("u", u, "k", k);
  check.same_device("v", v, "k", k);
  if (compat_chunks != 0 && compat_chunks != 16 && compat_chunks != 32) {
    fail(op, ": compat_chunks must be 0, 16 or 32, got ", compat_chunks);
  }
}

// The gradient of the output, for arguments that check_bi_wkv let through.
template <class Tensor>
void check_bi_wkv_gradient(const char* op, const Tensor& grad_y, const Tensor& k) {
  const Check<Tensor> check{op};
  check.shape("grad_y", grad_y, "[B, T, C]", sizes_of(k));
  check.dtype("grad_y", grad_y, {k.scalar_type()});
  check.same_device("grad_y", grad_y, "k", k);
}

}  // namespace wkv
