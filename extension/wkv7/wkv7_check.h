// What wkv7 and _wkv7_backward refuse, for their kernels and their meta functions.
#pragma once
#include <optional>

#include "core/matrix_state_check.h"
#include "wkv7/wkv7.h"

namespace wkv {

// Head sizes, dtypes and devices, which wkv7_decode_ shares.
template <class Tensor>
void check_wkv7_types(const char* op, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
                      const Tensor& a, const Tensor& b) {
  const Check<Tensor> check{op};
  for (const auto& size : {sizes_of(r).back(), sizes_of(v).back()}) {
    if (size < 1 || size > kWkv7MaxHeadSize)
      fail(op, ": the head sizes N of r and M of v must be 1 to ", kWkv7MaxHeadSize, ", got ", size);
  }

  const ScalarType type = r.scalar_type();
  check.dtype("r", r, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double});
  check.parameter_dtype("w", w, type);
  check.dtype("k", k, {type});
  check.dtype("v", v, {type});
  check.dtype("a", a, {type});
  check.dtype("b", b, {type});

  check.same_device("w", w, "r", r);
  check.same_device("k", k, "r", r);
  check.same_device("v", v, "r", r);
  check.same_device("a", a, "r", r);
  check.same_device("b", b, "r", r);
}

template <class Tensor>
void check_wkv7(const char* op, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& a,
                const Tensor& b, const std::optional<Tensor>& state, const std::optional<Tensor>& cu_seqlens) {
  const Check<Tensor> check{op};
  check.dimensions("r", r, "[B, T, H, N]", 4);
  const auto shape = sizes_of(r);
  check.shape("w", w, "[B, T, H, N]", shape);
  check.shape("k", k, "[B, T, H, N]", shape);
  check.dimensions("v", v, "[B, T, H, M]", 4);
  auto value_shape = shape;
  value_shape[3] = sizes_of(v)[3];
  check.shape("v", v, "[B, T, H, M]", value_shape);
  check.shape("a", a, "[B, T, H, N]", shape);
  check.shape("b", b, "[B, T, H, N]", shape);
  if (cu_seqlens) check.cu_seqlens(*cu_seqlens, "r", r);
  check_wkv7_types(op, r, w, k, v, a, b);
  if (state) check_matrix_state(check, "state", *state, r, v, cu_seqlens);
}

}  // namespace wkv
