#include "vrwkv_segmenter/uper_head.h"

#include <string>

namespace wkv::models {
namespace {

constexpr std::array<int64_t, 4> kPooledSizes = {1, 2, 3, 6};

std::shared_ptr<torch::nn::Module> container(torch::nn::Module& owner, const std::string& name) {
  return owner.register_module(name, std::make_shared<torch::nn::Module>());
}

NormedConvolution conv_module(torch::nn::Module& owner, const std::string& name, const Convolution::Sizes& sizes) {
  return {*container(owner, name), "conv", "bn", sizes};
}

at::Tensor resized_to(const at::Tensor& x, const at::Tensor& like) {
  return resize_bilinear(x, like.size(2), like.size(3));
}

}  // namespace

PixelClassifier::PixelClassifier(torch::nn::Module& owner, const PixelHeadSizes& s)
    : conv_seg(owner.register_module("conv_seg", std::make_shared<Convolution>(Convolution::Sizes{
                                                     .in = s.channels, .out = s.classes, .bias = true}))),
      dropout(s.dropout) {}

at::Tensor PixelClassifier::forward(const at::Tensor& x) const {
  return conv_seg->forward(at::feature_dropout(x, dropout, conv_seg->is_training()));
}

void PixelClassifier::initialise() const {
  torch::nn::init::normal_(conv_seg->weight, 0, 0.01);
  torch::nn::init::zeros_(conv_seg->bias);
}

UPerHead::UPerHead(const PixelHeadSizes& s)
    : bottleneck_(conv_module(
          *this, "bottleneck",
          {.in = s.in + static_cast<int64_t>(kPooledSizes.size()) * s.channels, .out = s.channels, .kernel = 3})),
      fpn_bottleneck_(conv_module(*this, "fpn_bottleneck", {.in = 4 * s.channels, .out = s.channels, .kernel = 3})),
      classifier_(*this, s) {
  const auto laterals = container(*this, "lateral_convs"), fpn = container(*this, "fpn_convs"),
             pooled = container(*this, "psp_modules");
  for (int i = 0; i < 3; ++i) {
    const std::string index = std::to_string(i);
    lateral_.push_back(conv_module(*laterals, index, {.in = s.in, .out = s.channels}));
    fpn_.push_back(conv_module(*fpn, index, {.in = s.channels, .out = s.channels, .kernel = 3}));
  }
  for (size_t i = 0; i < kPooledSizes.size(); ++i) {
    pooled_.push_back(conv_module(*container(*pooled, std::to_string(i)), "1", {.in = s.in, .out = s.channels}));
  }
}

at::Tensor UPerHead::pyramid_of(const at::Tensor& map) const {
  std::vector<at::Tensor> levels = {map};
  for (size_t i = 0; i < kPooledSizes.size(); ++i) {
    const at::Tensor pooled = at::adaptive_avg_pool2d(map, {kPooledSizes[i], kPooledSizes[i]});
    levels.push_back(resized_to(pooled_[i].forward(pooled), map));
  }
  return bottleneck_.forward(at::cat(levels, 1));
}

at::Tensor UPerHead::forward(const std::array<at::Tensor, 4>& maps) const {
  std::array<at::Tensor, 4> levels;
  levels[3] = pyramid_of(maps[3]);
  for (size_t i = 3; i-- > 0;) levels[i] = lateral_[i].forward(maps[i]) + resized_to(levels[i + 1], maps[i]);
  for (size_t i = 0; i < 3; ++i) levels[i] = fpn_[i].forward(levels[i]);
  for (at::Tensor& level : levels) level = resized_to(level, maps[0]);
  return classifier_.forward(fpn_bottleneck_.forward(at::cat(levels, 1)));
}

void UPerHead::initialise() const {
  initialise_convolutions(*this);
  classifier_.initialise();
}

FCNHead::FCNHead(const PixelHeadSizes& s)
    : conv_(conv_module(*container(*this, "convs"), "0", {.in = s.in, .out = s.channels, .kernel = 3})),
      classifier_(*this, s) {}

at::Tensor FCNHead::forward(const at::Tensor& map) const { return classifier_.forward(conv_.forward(map)); }

void FCNHead::initialise() const {
  initialise_convolutions(*this);
  classifier_.initialise();
}

}  // namespace wkv::models
