// RWKV-5's time mix on the op wkv5; names and shapes as in the published checkpoints. N head size, A = H * N.
#pragma once
#include <memory>

#include "layers/residual_stack.h"
#include "wkv/models/rwkv5.h"

namespace wkv::models {

struct RWKV5TimeMix : torch::nn::Module {
  explicit RWKV5TimeMix(const RWKV5Options& options);
  // x [B, T, C], normalised. shift [rows, C] and wkv [rows, H, N, N] become their values after the last token.
  at::Tensor forward(const at::Tensor& x, at::Tensor& shift, at::Tensor& wkv, const Sequences& sequences) const;
  static void initialise(ResidualBlock<RWKV5TimeMix>& block);

  int64_t heads, head_size;
  at::Tensor time_mix_k, time_mix_v, time_mix_r, time_mix_g;  // [1, 1, C]
  at::Tensor time_decay;                                      // [H] or [H, N]
  at::Tensor time_first, time_faaaa;                          // the bonus, as time_decay; one of the two is there
  at::Tensor time_state;                                      // [H, N, N], see RWKV5Options
  std::shared_ptr<Linear> receptance, key, value, gate;       // C to A
  std::shared_ptr<Linear> output;                             // A to C
  std::shared_ptr<HeadNorm> ln_x;
};

}  // namespace wkv::models
