// What VRWKV and VRWKV6 have around their mixes: the trunk, and a head in one of three forms, under the published
// names.
#pragma once
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "layers/vision_trunk.h"

namespace wkv::models {

// Throws wkv::Error for options that fit no classifier. owner: of the options, for messages.
void require_classifier(const ClassifierOptions& options, const char* owner);

// Upstream's configuration keys.
nlohmann::ordered_json vision_config(const char* type, const VisionTrunkOptions& trunk,
                                     const ClassifierOptions& classifier);

// The form in which upstream publishes its -L models: their pictures, heads and initial values are prepared otherwise.
inline bool is_large_form(const VisionTrunkOptions& trunk, const ClassifierOptions& classifier) {
  return trunk.layers > 12 || (classifier.classes > 0 && classifier.head != ClassifierHead::fc);
}

// The pipeline that the options name, else that with which the published models of this form were evaluated.
inline std::string preprocessing_of(const VisionTrunkOptions& trunk, const ClassifierOptions& classifier) {
  if (!classifier.preprocessing.empty()) return classifier.preprocessing;
  return is_large_form(trunk, classifier) ? "vl384" : "mm224";
}

struct VisionClassifier {
  // Its parts are registered in `model`.
  VisionClassifier(torch::nn::Module& model, const VisionTrunkOptions& trunk_options,
                   const ClassifierOptions& classifier, const QuadShift& shift,
                   const std::function<std::shared_ptr<SpatialMix>()>& make_mix);
  at::Tensor logits(const at::Tensor& images) const;  // [B, 3, H, W] to [B, classes]
  void initialise() const;                            // all but the mixes, which are the model's

  std::unique_ptr<VisionTrunk> trunk;
  std::shared_ptr<Linear> hidden, output;  // hidden: of the head with two layers
  bool plain_matrices;                     // initial values as PyTorch's, which the -L form has
};

}  // namespace wkv::models
