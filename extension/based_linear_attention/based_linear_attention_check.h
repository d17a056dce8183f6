// What based_linear_attention and its backward refuse, for their kernels and their meta functions.
#pragma once
#include <optional>

#include "core/check.h"

namespace wkv {

inline constexpr int64_t kBasedMaxFeatureSize = 64, kBasedMaxValueSize = 256;

// The shapes of the states, [rows, H, dv, D] and [rows, H, D], for q, k, v of the right shapes.
template <class Tensor>
struct BasedStateShapes {
  SizesOf<Tensor> kv, k;

  BasedStateShapes(const Tensor& q, const Tensor& v, const std::optional<Tensor>& cu_seqlens) {
    const auto keys = sizes_of(q), values = sizes_of(v);
    const auto& d = keys[3];
    const auto features = 1 + d + d * d;
    auto rows = keys[0];
    if (cu_seqlens) rows = sizes_of(*cu_seqlens)[0] - 1;
    kv = {rows, keys[2], values[3], features};
    k = {rows, keys[2], features};
  }
};

template <class Size>
void check_based_sizes(const char* op, const Size& feature_size, const Size& value_size) {
  if (feature_size < 1 || feature_size > kBasedMaxFeatureSize) {
    fail(op, ": the feature size d must be 1 to ", kBasedMaxFeatureSize, ", got ", feature_size);
  }
  if (value_size < 1 || value_size > kBasedMaxValueSize) {
    fail(op, ": the value size dv of v must be 1 to ", kBasedMaxValueSize, ", got ", value_size);
  }
}

template <class Tensor>
void check_based_types(const Check<Tensor>& check, const Tensor& q, const Tensor& k, const Tensor& v) {
  const ScalarType type = q.scalar_type();
  check.dtype("q", q, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double});
  check.dtype("k", k, {type});
  check.dtype("v", v, {type});
  check.same_device("k", k, "q", q);
  check.same_device("v", v, "q", q);
}

template <class Tensor>
void check_based_states(const Check<Tensor>& check, const char* kv_name, const std::optional<Tensor>& kv_state,
                        const char* k_name, const std::optional<Tensor>& k_state, const Tensor& q, const Tensor& v,
                        const std::optional<Tensor>& cu_seqlens) {
  const BasedStateShapes<Tensor> shapes(q, v, cu_seqlens);
  const ScalarType type = q.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
  if (kv_state) {
    check.shape(kv_name, *kv_state, cu_seqlens ? "[S, H, dv, 1 + d + d^2]" : "[B, H, dv, 1 + d + d^2]", shapes.kv);
    check.dtype(kv_name, *kv_state, {type});
    check.same_device(kv_name, *kv_state, "q", q);
  }
  if (k_state) {
    check.shape(k_name, *k_state, cu_seqlens ? "[S, H, 1 + d + d^2]" : "[B, H, 1 + d + d^2]", shapes.k);
    check.dtype(k_name, *k_state, {type});
    check.same_device(k_name, *k_state, "q", q);
  }
}

template <class Tensor>
void check_based_linear_attention(const char* op, const Tensor& q, const Tensor& k, const Tensor& v,
                                  const std::optional<Tensor>& kv_state, const std::optional<Tensor>& k_state,
                                  const std::optional<Tensor>& cu_seqlens) {
  const Check<Tensor> check{op};
  check.dimensions("q", q, "[B, T, H, d]", 4);
  const auto shape = sizes_of(q);
  check.shape("k", k, "[B, T, H, d]", shape);
  check.dimensions("v", v, "[B, T, H, dv]", 4);
  auto value_shape = shape;
  value_shape[3] = sizes_of(v)[3];
  check.shape("v", v, "[B, T, H, dv]", value_shape);
  if (cu_seqlens) check.cu_seqlens(*cu_seqlens, "q", q);
  check_based_sizes(op, shape[3], value_shape[3]);
  check_based_types(check, q, k, v);
  check_based_states(check, "kv_state", kv_state, "k_state", k_state, q, v, cu_seqlens);
}

// The gradients of the outputs, for arguments that check_based_linear_attention let through.
template <class Tensor>
void check_based_linear_attention_gradients(const char* op, const Tensor& grad_y, const Tensor& grad_kv_state,
                                            const Tensor& grad_k_state, const Tensor& q, const Tensor& v,
                                            const std::optional<Tensor>& cu_seqlens) {
  const Check<Tensor> check{op};
  check.shape("grad_y", grad_y, "[B, T, H, dv]", sizes_of(v));
  check.dtype("grad_y", grad_y, {q.scalar_type()});
  check.same_device("grad_y", grad_y, "q", q);
  check_based_states<Tensor>(check, "grad_kv_state", grad_kv_state, "grad_k_state", grad_k_state, q, v, cu_seqlens);
}

}  // namespace wkv
