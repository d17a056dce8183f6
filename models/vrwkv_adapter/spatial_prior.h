// The adapter's spatial prior: a small convolutional network that sees the image at the strides 4, 8, 16 and 32, as in
// ViT-Adapter (arXiv 2205.08534, section 3.3). Names and shapes as in the published checkpoints.
#pragma once
#include <array>
#include <vector>

#include "layers/convolution.h"
#include "wkv/export.h"

namespace wkv::models {

class SpatialPrior : public torch::nn::Module {
 public:
  WKV_API SpatialPrior(int64_t inplanes, int64_t width);
  // images [B, 3, H, W], both sides multiples of 32. Returns the maps [B, C, H / s, W / s] of s = 4, 8, 16, 32.
  WKV_API std::array<at::Tensor, 4> forward(const at::Tensor& images) const;

 private:
  std::vector<NormedConvolution> stem_, halvings_;  // halvings_: from each stride to the next
  std::array<std::shared_ptr<Convolution>, 4> fc_;  // to the adapter's width
};

}  // namespace wkv::models
