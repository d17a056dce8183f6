// A trunk and the adapter around it: ViT-Adapter (arXiv 2205.08534) as Vision-RWKV has it.
#pragma once
#include <array>
#include <memory>
#include <vector>

#include "layers/vision_trunk.h"
#include "vrwkv_adapter/interaction.h"
#include "vrwkv_adapter/spatial_prior.h"

namespace wkv::models {

// Upsampling by 2: places of 2 x 2 that don't overlap.
struct TransposedConvolution : torch::nn::Module {
  explicit TransposedConvolution(int64_t width)
      : weight(register_parameter("weight", at::empty({width, width, 2, 2}))),
        bias(register_parameter("bias", at::empty({width}))) {}
  at::Tensor forward(const at::Tensor& x) const { return at::conv_transpose2d(x, weight, bias, {2, 2}); }
  at::Tensor weight, bias;
};

struct DenseAdapter {
  // Its parts are registered in `owner` under the published names.
  DenseAdapter(torch::nn::Module& owner, const VRWKVAdapterOptions& complete_options);
  // images [B, 3, H, W], both sides multiples of 32; throws wkv::Error for others. Returns the four
  // maps [B, C, H / s, W / s] of s = 4, 8, 16, 32.
  std::vector<FeatureMap> features(const at::Tensor& images) const;
  void initialise() const;

  VRWKVAdapterOptions options;
  std::unique_ptr<VisionTrunk> trunk;
  std::shared_ptr<SpatialPrior> spm;
  at::Tensor level_embed;  // [3, C], of the adapter's three maps of tokens
  std::vector<std::shared_ptr<Interaction>> interactions;
  std::shared_ptr<TransposedConvolution> up;
  std::array<std::shared_ptr<BatchNorm>, 4> norms;

 private:
  // The trunk's features for each of the four scales, of what left the interactions.
  std::array<at::Tensor, 4> trunk_maps(const std::vector<at::Tensor>& tokens, const MapSize& size) const;
};

}  // namespace wkv::models
