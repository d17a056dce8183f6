// The heads that classify pixels: UperNet (arXiv 1807.10221) over four maps, and the plain convolutional head that
// trains beside it. Names and shapes as in the published checkpoints. C: the maps' channels.
#pragma once
#include <array>
#include <vector>

#include "layers/convolution.h"
#include "wkv/export.h"

namespace wkv::models {

// Sizes of a head.
struct PixelHeadSizes {
  int64_t in, channels, classes;  // in: C
  double dropout;                 // share of the channels that training drops before the last layer
};

// The last layer of either, registered in it: [B, channels, h, w] to logits [B, classes, h, w].
struct PixelClassifier {
  PixelClassifier(torch::nn::Module& owner, const PixelHeadSizes& sizes);
  at::Tensor forward(const at::Tensor& x) const;
  void initialise() const;
  std::shared_ptr<Convolution> conv_seg;
  double dropout;
};

class UPerHead : public torch::nn::Module {
 public:
  WKV_API explicit UPerHead(const PixelHeadSizes& sizes);
  // maps [B, C, h, w], each half as large as the one before it. Returns logits [B, classes, h, w] of the first's size.
  WKV_API at::Tensor forward(const std::array<at::Tensor, 4>& maps) const;
  void initialise() const;

 private:
  // The smallest map beside what it is when pooled to a few places.
  at::Tensor pyramid_of(const at::Tensor& map) const;

  std::vector<NormedConvolution> lateral_, fpn_, pooled_;  // of the larger three maps, before and after the sums
  NormedConvolution bottleneck_, fpn_bottleneck_;
  PixelClassifier classifier_;
};

class FCNHead : public torch::nn::Module {
 public:
  WKV_API explicit FCNHead(const PixelHeadSizes& sizes);
  // map [B, C, h, w]. Returns logits [B, classes, h, w].
  WKV_API at::Tensor forward(const at::Tensor& map) const;
  void initialise() const;

 private:
  NormedConvolution conv_;
  PixelClassifier classifier_;
};

}  // namespace wkv::models
