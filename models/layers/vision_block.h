// A block of Vision-RWKV: a spatial mix and a channel mix, each a residual branch with a norm ahead of it or behind it.
#pragma once
#include <memory>

#include "layers/linear.h"
#include "layers/quad_shift.h"
#include "layers/spatial_channel_mix.h"
#include "wkv/models/vision_options.h"

namespace wkv::models {

// What mixes a block's tokens with one another: bi-WKV or bi-WKV6.
struct SpatialMix : torch::nn::Module {
  virtual at::Tensor forward(const at::Tensor& x, const PatchGrid& grid) const = 0;  // x [B, T, C]
};

struct VisionBlock : torch::nn::Module {
  VisionBlock(const VisionTrunkOptions& options, int64_t layer, const QuadShift& shift,
              std::shared_ptr<SpatialMix> mix);
  at::Tensor forward(const at::Tensor& x, const PatchGrid& grid) const;  // x [B, T, C]

  bool post_norm, checkpointing;
  double drop_path_rate;                     // this block's
  std::shared_ptr<LayerNorm> ln0, ln1, ln2;  // ln0: of what enters block 0, only there
  at::Tensor gamma1, gamma2;                 // [C], layer scale of the two branches
  std::shared_ptr<SpatialMix> att;
  std::shared_ptr<SpatialChannelMix> ffn;

 private:
  // A path says which samples a branch is left out for, see draw_path.
  at::Tensor run(at::Tensor x, const PatchGrid& grid, const at::Tensor& att_path, const at::Tensor& ffn_path) const;
};

}  // namespace wkv::models
