// VRWKV6's spatial mix on the op bi_wkv6: every mix with the neighbours, and the decay, depend on the data. Names and
// shapes as in the published checkpoints. N head size, C = H * N.
#pragma once
#include <memory>

#include "layers/vision_block.h"

namespace wkv::models {

struct VRWKV6SpatialMix : SpatialMix {
  // shift.head_size is N.
  VRWKV6SpatialMix(int64_t width, bool with_key_norm, const QuadShift& shift, double ln_x_eps = 1e-5);
  at::Tensor forward(const at::Tensor& x, const PatchGrid& grid) const override;

  QuadShift shift;
  at::Tensor time_maa_x;  // [1, 1, C] mix of the input that decides on the other mixes
  at::Tensor time_maa_w, time_maa_k, time_maa_v, time_maa_r, time_maa_g;  // [1, 1, C] what each mix starts from
  at::Tensor time_maa_w1, time_maa_w2;                                    // [C, 5 * 32], [5, 32, C] what the data add
  at::Tensor time_decay, time_decay_w1, time_decay_w2;                    // [1, 1, C], [C, 64], [64, C]
  at::Tensor time_faaaa;                                                  // [H, N] bonus
  std::shared_ptr<Linear> key, value, receptance, gate, output;
  std::shared_ptr<LayerNorm> key_norm;  // of what the op gives, despite its name
  std::shared_ptr<HeadNorm> ln_x;
};

}  // namespace wkv::models
