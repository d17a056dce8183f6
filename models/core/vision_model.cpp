#include "wkv/models/vision_model.h"

#include "core/images.h"
#include "wkv/error.h"

namespace wkv::models {

at::Tensor VisionModel::forward(const at::Tensor& images) {
  if (classes() == 0) {
    throw Error(ErrorCode::invalid_argument, family() + ": a backbone without a head has features, and no logits");
  }
  check_images(images);
  return logits_of(images);
}

std::vector<FeatureMap> VisionModel::features(const at::Tensor& images) {
  check_images(images);
  return features_of(images);
}

}  // namespace wkv::models
