// What wkv6, wkv5, their backwards and their decode ops refuse, for their kernels and their meta functions.
#pragma once
#include <optional>

#include "core/matrix_state_check.h"
#include "core/slots.h"
#include "wkv6/wkv6.h"

namespace wkv {

// Whether w has a row for each token (wkv6) or one for all (wkv5).
enum class Decay { kPerToken, kConstant };

// The head sizes, dtypes and devices of r, k, v, w, u, whose shapes have been checked.
template <class Tensor>
void check_wkv6_types(const char* op, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
                      const Tensor& u) {
  const Check<Tensor> check{op};
  for (const auto& size : {sizes_of(r).back(), sizes_of(v).back()}) {
    if (size < 1 || size > kWkv6MaxHeadSize)
      fail(op, ": the head sizes N of r and M of v must be 1 to ", kWkv6MaxHeadSize, ", got ", size);
  }
  const ScalarType type = r.scalar_type();
  check.dtype("r", r, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double});
  check.dtype("k", k, {type});
  check.dtype("v", v, {type});
  check.parameter_dtype("w", w, type);
  check.parameter_dtype("u", u, type);

  check.same_device("k", k, "r", r);
  check.same_device("v", v, "r", r);
  check.same_device("w", w, "r", r);
  check.same_device("u", u, "r", r);
}

template <class Tensor>
void check_wkv6(const char* op, Decay decay, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
                const Tensor& u, const std::optional<Tensor>& state, const std::optional<Tensor>& cu_seqlens) {
  const Check<Tensor> check{op};
  check.dimensions("r", r, "[B, T, H, N]", 4);
  const auto shape = sizes_of(r);
  check.shape("k", k, "[B, T, H, N]", shape);
  check.dimensions("v", v, "[B, T, H, M]", 4);
  auto value_shape = shape;
  value_shape[3] = sizes_of(v)[3];
  check.shape("v", v, "[B, T, H, M]", value_shape);
  const SizesOf<Tensor> parameter_shape{shape[2], shape[3]};
  if (decay == Decay::kConstant) {
    check.shape("w", w, "[H, N]", parameter_shape);
  } else {
    check.shape("w", w, "[B, T, H, N]", shape);
  }
  check.shape("u", u, "[H, N]", parameter_shape);
  if (cu_seqlens) check.cu_seqlens(*cu_seqlens, "r", r);
  check_wkv6_types(op, r, k, v, w, u);
  if (state) check_matrix_state(check, "state", *state, r, v, cu_seqlens);
}

// One step: the tensors without time.
template <class Tensor>
void check_wkv6_decode(const char* op, Decay decay, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
                       const Tensor& u, const Tensor& pool, const Tensor& slots) {
  const Check<Tensor> check{op};
  check.dimensions("r", r, "[B, H, N]", 3);
  const auto shape = sizes_of(r);
  check.shape("k", k, "[B, H, N]", shape);
  check.dimensions("v", v, "[B, H, M]", 3);
  auto value_shape = shape;
  value_shape[2] = sizes_of(v)[2];
  check.shape("v", v, "[B, H, M]", value_shape);
  const SizesOf<Tensor> parameter_shape{shape[1], shape[2]};
  if (decay == Decay::kConstant) {
    check.shape("w", w, "[H, N]", parameter_shape);
  } else {
    check.shape("w", w, "[B, H, N]", shape);
  }
  check.shape("u", u, "[H, N]", parameter_shape);
  check_wkv6_types(op, r, k, v, w, u);
  check_pool(op, pool, "[P, H, M, N]", {shape[1], value_shape[2], shape[2]}, "r", r);
  check_slots(op, slots, pool, r);
}

}  // namespace wkv
