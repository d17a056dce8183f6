// RWKV-6's time mix on the op wkv6: every input's mix with its predecessor, and the decay, depend on the data. Names
// and shapes as in the published checkpoints. N head size, C = H * N, R a rank.
#pragma once
#include <memory>

#include "layers/residual_stack.h"
#include "wkv/models/rwkv6.h"

namespace wkv::models {

struct RWKV6TimeMix : torch::nn::Module {
  explicit RWKV6TimeMix(const RWKV6Options& options);
  // x [B, T, C], normalised. shift [rows, C] and wkv [rows, H, N, N] become their values after the last token.
  at::Tensor forward(const at::Tensor& x, at::Tensor& shift, at::Tensor& wkv, const Sequences& sequences) const;
  static void initialise(ResidualBlock<RWKV6TimeMix>& block);

  RWKV6Variant variant;
  int64_t heads, head_size;
  at::Tensor time_maa_x;  // [1, 1, C] mix of the input that decides on the other mixes
  at::Tensor time_maa_w, time_maa_k, time_maa_v, time_maa_r, time_maa_g;  // [1, 1, C] what each mix starts from
  at::Tensor mix_w1, mix_w2;  // [C, n R], [n, R, C] what the data add to n mixes; time_maa_w1, time_maa_w2, or
                              // time_maa_rkvw_w1, time_maa_rkvw_w2 without gate
  at::Tensor time_decay, time_decay_w1, time_decay_w2;  // [1, 1, C], [C, R], [R, C]
  at::Tensor time_faaaa;                                // [H, N] bonus
  at::Tensor gate_w1, gate_w2;                          // [C, R], [R, C]: x060a's gate
  at::Tensor time_state;                                // [H, N, N], see RWKV6Options
  std::shared_ptr<Linear> receptance, key, value, gate, output;
  std::shared_ptr<HeadNorm> ln_x;
};

}  // namespace wkv::models
