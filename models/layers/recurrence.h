// The recurrent ops as the layers call them: over rows, over packed sequences, or one token in a pool's slots, with the
// state entry [rows, ...] replaced or written in place.
#pragma once
#include "core/sequences.h"
#include "wkv/ops.h"

namespace wkv::models {

// w, u [A]; k, v [B, T, A]; state [rows, 3, A].
inline at::Tensor wkv4(const at::Tensor& w, const at::Tensor& u, const at::Tensor& k, const at::Tensor& v,
                       at::Tensor& state, const Sequences& sequences) {
  if (sequences.slots) {
    return ops::wkv4_decode_(w, u, k.squeeze(1), v.squeeze(1), state, *sequences.slots).unsqueeze(1);
  }
  auto [y, next] = ops::wkv4(w, u, k, v, state, sequences.cu_seqlens);
  state = next;
  return y;
}

// r, k, v [B, T, H, N]; w, u [H, N]; state [rows, H, N, N].
inline at::Tensor wkv5(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v, const at::Tensor& w,
                       const at::Tensor& u, at::Tensor& state, const Sequences& sequences) {
  if (sequences.slots) {
    return ops::wkv5_decode_(r.squeeze(1), k.squeeze(1), v.squeeze(1), w, u, state, *sequences.slots).unsqueeze(1);
  }
  auto [y, next] = ops::wkv5(r, k, v, w, u, state, sequences.cu_seqlens);
  state = next;
  return y;
}

// r, k, v, w [B, T, H, N]; u [H, N]; state [rows, H, N, N].
inline at::Tensor wkv6(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v, const at::Tensor& w,
                       const at::Tensor& u, at::Tensor& state, const Sequences& sequences) {
  if (sequences.slots) {
    return ops::wkv6_decode_(r.squeeze(1), k.squeeze(1), v.squeeze(1), w.squeeze(1), u, state, *sequences.slots)
        .unsqueeze(1);
  }
  auto [y, next] = ops::wkv6(r, k, v, w, u, state, sequences.cu_seqlens);
  state = next;
  return y;
}

// All [B, T, H, N]; state [rows, H, N, N].
inline at::Tensor wkv7(const at::Tensor& r, const at::Tensor& log_decay, const at::Tensor& k, const at::Tensor& v,
                       const at::Tensor& a, const at::Tensor& b, at::Tensor& state, const Sequences& sequences) {
  if (sequences.slots) {
    const at::Tensor w = (-log_decay.squeeze(1)).log();
    return ops::wkv7_decode_(r.squeeze(1), w, k.squeeze(1), v.squeeze(1), a.squeeze(1), b.squeeze(1), state,
                             *sequences.slots)
        .unsqueeze(1);
  }
  auto [y, next] = ops::wkv7(r, log_decay, k, v, a, b, state, sequences.cu_seqlens, /*log_decay=*/true);
  state = next;
  return y;
}

}  // namespace wkv::models
