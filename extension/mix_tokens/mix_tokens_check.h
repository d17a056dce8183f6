// What _mix_tokens and its backward refuse, for their kernels and their meta functions.
#pragma once
#include <optional>

#include "core/check.h"
#include "mix_tokens/mix_tokens.h"

namespace wkv {

// Mixes of a checked x [B, T, C], and their changes.
template <class Tensor>
void check_mixes(const Check<Tensor>& check, const Tensor& x, const Tensor& mixes,
                 const std::optional<Tensor>& changes) {
  check.dimensions("mixes", mixes, "[M, C]", 2);
  const auto shape = sizes_of(x);
  const auto count = sizes_of(mixes)[0];
  check.shape("mixes", mixes, "[M, C]", {count, shape[2]});
  if (count < 1 || count > kMostMixes) fail(check.op, ": mixes must have 1 to ", kMostMixes, " rows, got ", count);
  check.parameter_dtype("mixes", mixes, x.scalar_type());
  check.same_device("mixes", mixes, "x", x);
  if (!changes) return;
  check.shape("changes", *changes, "[M, B, T, C]", {count, shape[0], shape[1], shape[2]});
  check.dtype("changes", *changes, {x.scalar_type()});
  check.same_device("changes", *changes, "x", x);
}

// The gradient of what they give.
template <class Tensor>
void check_grad_mixed(const Check<Tensor>& check, const Tensor& grad_mixed, const Tensor& x, const Tensor& mixes) {
  const auto shape = sizes_of(x);
  check.shape("grad_mixed", grad_mixed, "[M, B, T, C]", {sizes_of(mixes)[0], shape[0], shape[1], shape[2]});
  check.dtype("grad_mixed", grad_mixed, {x.scalar_type()});
  check.same_device("grad_mixed", grad_mixed, "x", x);
}

template <class Tensor>
void check_mix_tokens_last(const Check<Tensor>& check, const char* name, const Tensor& last, const Tensor& x,
                           const std::optional<Tensor>& cu_seqlens) {
  auto rows = sizes_of(x)[0];
  if (cu_seqlens) rows = sizes_of(*cu_seqlens)[0] - 1;
  check.shape(name, last, cu_seqlens ? "[S, C]" : "[B, C]", {rows, sizes_of(x)[2]});
  check.dtype(name, last, {x.scalar_type()});
  check.same_device(name, last, "x", x);
}

template <class Tensor>
void check_mix_tokens(const char* op, const Tensor& x, const Tensor& last, const Tensor& mixes,
                      const std::optional<Tensor>& changes, const std::optional<Tensor>& cu_seqlens) {
  const Check<Tensor> check{op};
  check.dimensions("x", x, "[B, T, C]", 3);
  check.dtype("x", x, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double});
  check_mixes(check, x, mixes, changes);
  if (cu_seqlens) check.cu_seqlens(*cu_seqlens, "x", x);
  check_mix_tokens_last(check, "last", last, x, cu_seqlens);
}

// The gradients of the outputs, for arguments that check_mix_tokens let through.
template <class Tensor>
void check_mix_tokens_gradients(const char* op, const Tensor& grad_mixed, const Tensor& grad_last, const Tensor& x,
                                const Tensor& mixes, const std::optional<Tensor>& cu_seqlens) {
  const Check<Tensor> check{op};
  check_grad_mixed(check, grad_mixed, x, mixes);
  check_mix_tokens_last(check, "grad_last", grad_last, x, cu_seqlens);
}

}  // namespace wkv
