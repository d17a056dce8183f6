// Token shift: each position also sees its predecessor's value.
#pragma once
#include <ATen/Functions.h>

namespace wkv::models {

struct ShiftedTokens {
  at::Tensor difference;  // x_{t-1} - x_t, [B, T, C]
  at::Tensor last;        // x_T, or what came in where T = 0, [B, C]: the next call's `before`
};

// x [B, T, C]; before [B, C]: the value ahead of the first position.
inline ShiftedTokens token_shift(const at::Tensor& x, const at::Tensor& before) {
  const at::Tensor padded = at::cat({before.to(x.scalar_type()).unsqueeze(1), x}, 1);
  const int64_t time = x.size(1);
  // A copy: a view would keep all of `padded` alive in the state.
  return {padded.narrow(1, 0, time) - x, padded.select(1, time).clone()};
}

// x mixed with its predecessor, channel by channel: x + difference * mix.
inline at::Tensor mix_tokens(const at::Tensor& x, const at::Tensor& difference, const at::Tensor& mix) {
  return at::addcmul(x, difference, mix);
}

}  // namespace wkv::models
