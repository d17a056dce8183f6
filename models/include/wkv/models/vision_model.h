// What every vision model is: an image classifier, a backbone without a head, or a model that classifies each pixel.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "wkv/models/model.h"

namespace wkv::models {

// What a stage gives.
struct FeatureMap {
  at::Tensor patches;      // [B, C, h, w]
  at::Tensor class_token;  // [B, C], of backbones with output_cls_token; else undefined
};

class WKV_API VisionModel : public Model {
 public:
  // images: [B, 3, H, W], normalised as the preprocessing says, any H and W that the model takes. Returns the logits:
  // [B, classes], of a segmenter [B, classes, H, W]. Throws wkv::Error for images of another shape or dtype, and for a
  // backbone without a head.
  at::Tensor forward(const at::Tensor& images);
  // The maps of the configured stages: out_indices, or the four scales of an adapter.
  std::vector<FeatureMap> features(const at::Tensor& images);

  virtual int64_t classes() const = 0;  // 0: a backbone without a head
  virtual int64_t width() const = 0;    // C of features()
  // The published pipeline by which files become its images: a name that zoo::preprocess takes.
  virtual std::string preprocessing() const = 0;

 protected:
  virtual at::Tensor logits_of(const at::Tensor& images) = 0;  // of a model with classes
  virtual std::vector<FeatureMap> features_of(const at::Tensor& images) = 0;
};

}  // namespace wkv::models
