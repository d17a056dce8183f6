// What wkv4, _wkv4_backward and wkv4_decode_ refuse, for their kernels and their meta functions.
#pragma once
#include <optional>

#include "core/slots.h"

namespace wkv {

// The dtypes and devices that wkv4 and its decode share.
template <class Tensor>
void check_wkv4_types(const char* op, const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v) {
  const Check<Tensor> check{op};
  check.dtype("k", k, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double});
  const ScalarType type = k.scalar_type();
  check.parameter_dtype("w", w, type);
  check.parameter_dtype("u", u, type);
  check.dtype("v", v, {type});
  check.same_device("w", w, "k", k);
  check.same_device("u", u, "k", k);
  check.same_device("v", v, "k", k);
}

template <class Tensor>
void check_wkv4(const char* op, const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v,
                const std::optional<Tensor>& state, const std::optional<Tensor>& cu_seqlens) {
  const Check<Tensor> check{op};
  check.dimensions("k", k, "[B, T, C]", 3);
  const auto shape = sizes_of(k);
  check.shape("w", w, "[C]", {shape[2]});
  check.shape("u", u, "[C]", {shape[2]});
  check.shape("v", v, "[B, T, C]", shape);
  if (cu_seqlens) check.cu_seqlens(*cu_seqlens, "k", k);
  if (state) {
    auto rows = shape[0];
    if (cu_seqlens) rows = sizes_of(*cu_seqlens)[0] - 1;
    check.shape("state", *state, cu_seqlens ? "[S, 3, C]" : "[B, 3, C]", {rows, 3, shape[2]});
  }
  check_wkv4_types(op, w, u, k, v);
  if (state) {
    check.dtype("state", *state, {k.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float});
    check.same_device("state", *state, "k", k);
  }
}

// The gradients of the outputs, for arguments that check_wkv4 let through.
template <class Tensor>
void check_wkv4_gradients(const char* op, const Tensor& grad_y, const Tensor& grad_state, const Tensor& k,
                          const std::optional<Tensor>& cu_seqlens) {
  const Check<Tensor> check{op};
  const auto shape = sizes_of(k);
  auto rows = shape[0];
  if (cu_seqlens) rows = sizes_of(*cu_seqlens)[0] - 1;
  check.shape("grad_y", grad_y, "[B, T, C]", shape);
  check.shape("grad_state", grad_state, "[B, 3, C]", {rows, 3, shape[2]});
  check.dtype("grad_y", grad_y, {k.scalar_type()});
  check.dtype("grad_state", grad_state,
              {k.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float});
  check.same_device("grad_y", grad_y, "k", k);
  check.same_device("grad_state", grad_state, "k", k);
}

template <class Tensor>
void check_wkv4_decode(const char* op, const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v,
                       const Tensor& pool, const Tensor& slots) {
  const Check<Tensor> check{op};
  check.dimensions("k", k, "[B, C]", 2);
  const auto shape = sizes_of(k);
  check.shape("w", w, "[C]", {shape[1]});
  check.shape("u", u, "[C]", {shape[1]});
  check.shape("v", v, "[B, C]", shape);
  check_wkv4_types(op, w, u, k, v);
  check_pool(op, pool, "[P, 3, C]", {3, shape[1]}, "k", k);
  check_slots(op, slots, pool, k);
}

}  // namespace wkv
