// The text tower's time mix: RWKV-6's data-dependent mixes and decays (arXiv 2404.05892), each channel mixed with the
// token before or the one after it, on the op bi_wkv6. Names and shapes as in the published checkpoints. N head size,
// C = H * N.
#pragma once
#include <memory>

#include "layers/linear.h"
#include "wkv/models/rwkv_clip.h"

namespace wkv::models {

// x [B, T, C]: in each head the first half of the channels takes the value of the token before, the second half that of
// the token after; zeros outside.
at::Tensor bidirectional_shift(const at::Tensor& x, int64_t head_size);

struct TextTimeMix : torch::nn::Module {
  explicit TextTimeMix(const RWKVCLIPOptions& options);
  // x [B, T, C], normalised.
  at::Tensor forward(const at::Tensor& x) const;

  int64_t heads, head_size;
  at::Tensor time_maa_x;  // [1, 1, C] mix of the input that decides on the other mixes
  at::Tensor time_maa_w, time_maa_k, time_maa_v, time_maa_r, time_maa_g;  // [1, 1, C] what each mix starts from
  at::Tensor time_maa_w1, time_maa_w2;                  // [C, 5 R], [5, R, C] what the data add to the mixes, w k v r g
  at::Tensor time_decay, time_decay_w1, time_decay_w2;  // [1, 1, C], [C, R], [R, C]
  at::Tensor time_faaaa;                                // [H, N] bonus
  std::shared_ptr<Linear> receptance, key, value, gate, output;
  std::shared_ptr<HeadNorm> ln_x;
};

}  // namespace wkv::models
