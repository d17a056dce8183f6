// Token shift: each position also sees its predecessor's value.
#pragma once
#include <ATen/Functions.h>

#include "core/sequences.h"

namespace wkv::models {

// x_{t-1} - x_t, [B, T, C]. last [rows, C], the value ahead of each sequence's first position, becomes its last one.
inline at::Tensor token_shift(const at::Tensor& x, at::Tensor& last, const Sequences& sequences) {
  const at::Tensor first = sequences.read(last).to(x.scalar_type());
  if (sequences.cu_seqlens) {
    const at::Tensor rows = at::cat({first, x.squeeze(0)});
    sequences.write(last, rows.index_select(0, sequences.last));
    return rows.index_select(0, sequences.previous).unsqueeze(0) - x;
  }
  const at::Tensor padded = at::cat({first.unsqueeze(1), x}, 1);
  const int64_t time = x.size(1);
  // A copy: a view would keep all of `padded` alive in the state.
  sequences.write(last, padded.select(1, time).clone());
  return padded.narrow(1, 0, time) - x;
}

// x mixed with its predecessor, channel by channel: x + difference * mix.
inline at::Tensor mix_tokens(const at::Tensor& x, const at::Tensor& difference, const at::Tensor& mix) {
  return at::addcmul(x, difference, mix);
}

}  // namespace wkv::models
