// What wkv7_decode_ refuses, for its kernel and its meta function.
#pragma once
#include "core/slots.h"
#include "wkv7/wkv7_check.h"

namespace wkv {

template <class Tensor>
void check_wkv7_decode(const char* op, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
                       const Tensor& a, const Tensor& b, const Tensor& pool, const Tensor& slots) {
  const Check<Tensor> check{op};
  check.dimensions("r", r, "[B, H, N]", 3);
  const auto shape = sizes_of(r);
  check.shape("w", w, "[B, H, N]", shape);
  check.shape("k", k, "[B, H, N]", shape);
  check.dimensions("v", v, "[B, H, M]", 3);
  auto value_shape = shape;
  value_shape[2] = sizes_of(v)[2];
  check.shape("v", v, "[B, H, M]", value_shape);
  check.shape("a", a, "[B, H, N]", shape);
  check.shape("b", b, "[B, H, N]", shape);
  check_wkv7_types(op, r, w, k, v, a, b);
  check_pool(op, pool, "[P, H, M, N]", {shape[1], value_shape[2], shape[2]}, "r", r);
  check_slots(op, slots, pool, r);
}

}  // namespace wkv
