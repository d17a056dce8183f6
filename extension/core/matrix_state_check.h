// What the ops with a matrix state [value, key] for each head (wkv5, wkv6, wkv7) refuse of states and of the gradients
// of their outputs.
#pragma once
#include <optional>

#include "core/check.h"

namespace wkv {

// The shape of the states of r [B, T, H, N] and v [B, T, H, M], one a sequence.
template <class Tensor>
SizesOf<Tensor> matrix_state_shape(const Tensor& r, const Tensor& v, const std::optional<Tensor>& cu_seqlens) {
  const auto keys = sizes_of(r), values = sizes_of(v);
  auto rows = keys[0];
  if (cu_seqlens) rows = sizes_of(*cu_seqlens)[0] - 1;
  return {rows, keys[2], values[3], keys[3]};
}

template <class Tensor>
void check_matrix_state(const Check<Tensor>& check, const char* name, const Tensor& state, const Tensor& r,
                        const Tensor& v, const std::optional<Tensor>& cu_seqlens) {
  check.shape(name, state, cu_seqlens ? "[S, H, M, N]" : "[B, H, M, N]", matrix_state_shape(r, v, cu_seqlens));
  check.dtype(name, state, {r.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float});
  check.same_device(name, state, "r", r);
}

// For arguments that the op's own check let through.
template <class Tensor>
void check_matrix_state_gradients(const char* op, const Tensor& grad_y, const Tensor& grad_state, const Tensor& r,
                                  const Tensor& v, const std::optional<Tensor>& cu_seqlens) {
  const Check<Tensor> check{op};
  check.shape("grad_y", grad_y, "[B, T, H, M]", sizes_of(v));
  check.dtype("grad_y", grad_y, {r.scalar_type()});
  check.same_device("grad_y", grad_y, "r", r);
  check_matrix_state(check, "grad_state", grad_state, r, v, cu_seqlens);
}

}  // namespace wkv
