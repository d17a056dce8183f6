// What _based_decode_ refuses, for its kernel and its meta function.
#pragma once
#include "based_linear_attention/based_linear_attention_check.h"
#include "core/slots.h"

namespace wkv {

template <class Tensor>
void check_based_decode(const char* op, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& kv_pool,
                        const Tensor& k_pool, const Tensor& slots) {
  const Check<Tensor> check{op};
  check.dimensions("q", q, "[B, H, d]", 3);
  const auto shape = sizes_of(q);
  check.shape("k", k, "[B, H, d]", shape);
  check.dimensions("v", v, "[B, H, dv]", 3);
  auto value_shape = shape;
  value_shape[2] = sizes_of(v)[2];
  check.shape("v", v, "[B, H, dv]", value_shape);
  check_based_sizes(op, shape[2], value_shape[2]);
  check_based_types(check, q, k, v);

  const auto& d = shape[2];
  const auto features = (d + 1) * (d + 2) / 2;
  check_pool(op, kv_pool, "[P, H, F, dv]", {shape[1], features, value_shape[2]}, "q", q, "kv_pool");
  check_pool(op, k_pool, "[P, H, F]", {shape[1], features}, "q", q, "k_pool");
  if (sizes_of(kv_pool)[0] != sizes_of(k_pool)[0]) {
    fail(op, ": kv_pool and k_pool must have as many states, got ", sizes_of(kv_pool)[0], " and ", sizes_of(k_pool)[0]);
  }
  check_slots(op, slots, kv_pool, q);
}

}  // namespace wkv
