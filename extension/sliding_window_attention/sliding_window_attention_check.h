// What sliding_window_attention and its backward refuse, for their kernels and their meta functions.
#pragma once
#include <optional>

#include "core/check.h"

namespace wkv {

inline constexpr int64_t kWindowMaxHeadSize = 256, kWindowMaxKeysBack = (int64_t{1} << 31) - 1;

template <class Tensor>
auto window_rows(const Tensor& q, const std::optional<Tensor>& cu_seqlens) {
  auto rows = sizes_of(q)[0];
  if (cu_seqlens) rows = sizes_of(*cu_seqlens)[0] - 1;
  return rows;
}

// The shape of window_k and window_v, for arguments of the right shapes.
template <class Tensor>
SizesOf<Tensor> window_shape(const Tensor& q, int64_t keys_back, const std::optional<Tensor>& past_k,
                             const std::optional<Tensor>& cu_seqlens) {
  const auto shape = sizes_of(q);
  auto keys = shape[1];
  if (past_k) keys = keys + sizes_of(*past_k)[1];
  const decltype(keys) most(keys_back + 1);
  if (cu_seqlens) {
    keys = most;
  } else if constexpr (requires { keys.min(most); }) {
    keys = keys.min(most);  // of symbolic sizes: no decision
  } else {
    keys = keys < most ? keys : most;
  }
  return {window_rows(q, cu_seqlens), keys, shape[2], shape[3]};
}

template <class Tensor>
void check_sliding_window_attention(const char* op, const Tensor& q, const Tensor& k, const Tensor& v,
                                    int64_t keys_back, const std::optional<Tensor>& past_k,
                                    const std::optional<Tensor>& past_v, const std::optional<Tensor>& past_length,
                                    const std::optional<Tensor>& cu_seqlens) {
  const Check<Tensor> check{op};
  check.dimensions("q", q, "[B, T, H, D]", 4);
  const auto shape = sizes_of(q);
  check.shape("k", k, "[B, T, H, D]", shape);
  check.shape("v", v, "[B, T, H, D]", shape);
  if (cu_seqlens) check.cu_seqlens(*cu_seqlens, "q", q);
  if (past_k.has_value() != past_v.has_value()) fail(op, ": past_k and past_v must be given together");
  const auto rows = window_rows(q, cu_seqlens);
  if (past_k) {
    const char* const letters = cu_seqlens ? "[S, P, H, D]" : "[B, P, H, D]";
    check.dimensions("past_k", *past_k, letters, 4);
    const SizesOf<Tensor> past_shape{rows, sizes_of(*past_k)[1], shape[2], shape[3]};
    check.shape("past_k", *past_k, letters, past_shape);
    check.shape("past_v", *past_v, letters, past_shape);
  }
  if (past_length) {
    if (!past_k) fail(op, ": past_length needs past_k and past_v");
    check.shape("past_length", *past_length, cu_seqlens ? "[S]" : "[B]", {rows});
  }
  if (shape[3] < 1 || shape[3] > kWindowMaxHeadSize) {
    fail(op, ": the head size D of q must be 1 to ", kWindowMaxHeadSize, ", got ", shape[3]);
  }
  if (keys_back < 0 || keys_back > kWindowMaxKeysBack) {
    fail(op, ": keys_back must be 0 to ", kWindowMaxKeysBack, ", got ", keys_back);
  }

  const ScalarType type = q.scalar_type();
  check.dtype("q", q, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double});
  const auto like_q = [&](const char* name, const Tensor& tensor) {
    check.dtype(name, tensor, {type});
    check.same_device(name, tensor, "q", q);
  };
  like_q("k", k);
  like_q("v", v);
  if (past_k) {
    like_q("past_k", *past_k);
    like_q("past_v", *past_v);
  }
  if (past_length) {
    check.dtype("past_length", *past_length, {ScalarType::Long});
    if (past_length->device().type() != DeviceType::CPU) check.same_device("past_length", *past_length, "q", q);
  }
}

// The gradients of the outputs, for arguments that check_sliding_window_attention let through.
template <class Tensor>
void check_sliding_window_attention_gradients(const char* op, const Tensor& grad_y, const Tensor& grad_window_k,
                                              const Tensor& grad_window_v, const Tensor& q, int64_t keys_back,
                                              const std::optional<Tensor>& past_k,
                                              const std::optional<Tensor>& cu_seqlens) {
  const Check<Tensor> check{op};
  const auto window = window_shape(q, keys_back, past_k, cu_seqlens);
  const char* const letters = cu_seqlens ? "[S, keys_back + 1, H, D]" : "[B, min(keys_back + 1, P + T), H, D]";
  check.shape("grad_y", grad_y, "[B, T, H, D]", sizes_of(q));
  check.shape("grad_window_k", grad_window_k, letters, window);
  check.shape("grad_window_v", grad_window_v, letters, window);
  const auto like_q = [&](const char* name, const Tensor& tensor) {
    check.dtype(name, tensor, {q.scalar_type()});
    check.same_device(name, tensor, "q", q);
  };
  like_q("grad_y", grad_y);
  like_q("grad_window_k", grad_window_k);
  like_q("grad_window_v", grad_window_v);
}

}  // namespace wkv
