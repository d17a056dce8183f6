// The trunk of Vision-RWKV, VRWKV6, their dense adapters and RWKV-CLIP's image tower: patches, positions, a class token
// for some, and equal blocks of tokens [B, T, C] (arXiv 2403.02308, section 3).
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "layers/patch_embedding.h"
#include "layers/vision_block.h"
#include "wkv/models/vision_model.h"

namespace wkv::models {

// The options with out_indices counted from 0, and the last block's for none. owner: of the options, for messages.
// Throws wkv::Error for options that fit no trunk.
VisionTrunkOptions complete(VisionTrunkOptions options, const char* owner);

struct VisionTrunk {
  // Its parts are registered in `owner` under the published names. make_mix: a block's spatial mix.
  VisionTrunk(torch::nn::Module& owner, const VisionTrunkOptions& complete_options, const QuadShift& shift,
              const std::function<std::shared_ptr<SpatialMix>()>& make_mix);

  // images [B, 3, H, W] to the tokens ahead of block 0, and how they lie.
  std::pair<at::Tensor, PatchGrid> embed(const at::Tensor& images) const;
  // The maps after the blocks of out_indices.
  std::vector<FeatureMap> features(const at::Tensor& images) const;
  // What stands for an image [B, C]: the class token where it is put out, else the mean over the patches.
  at::Tensor pooled(const at::Tensor& images) const;
  // Everything but the mixes, which are the model's: norms 1 and 0, layer scale init_values, positions and class token
  // 0, the patches' matrix as PyTorch draws it. set_matrix gives the weights of every Linear of the blocks.
  void initialise(const std::function<void(const Linear&)>& set_matrix) const;

  VisionTrunkOptions options;
  std::shared_ptr<PatchEmbedding> patch_embed;
  at::Tensor pos_embed, cls_token;  // [1, (image_size / patch_size)^2, C], [1, 1, C]
  std::vector<std::shared_ptr<VisionBlock>> layers;
  std::shared_ptr<LayerNorm> ln1;  // of what leaves the last block

 private:
  // after(i, x): called with what leaves block i, normalised after the last.
  at::Tensor run(at::Tensor x, const PatchGrid& grid,
                 const std::function<void(int64_t, const at::Tensor&)>& after = {}) const;
};

// Tokens [B, T, C] as maps.
FeatureMap feature_map(const at::Tensor& tokens, const PatchGrid& grid, bool with_class_token);

}  // namespace wkv::models
