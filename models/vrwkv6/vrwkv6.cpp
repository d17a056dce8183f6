// VRWKV6: trunk and head, and what is its own about them.
#include "wkv/models/vrwkv6.h"

#include "layers/vision_classifier.h"
#include "vrwkv6/initial_values.h"
#include "vrwkv6/options.h"
#include "vrwkv6/spatial_mix.h"

namespace wkv::models {

struct VRWKV6Impl::Parts : VisionClassifier {
  Parts(torch::nn::Module& model, const VRWKV6Options& o, const QuadShift& shift)
      : VisionClassifier(model, o.trunk, o.classifier, shift,
                         [&] { return std::make_shared<VRWKV6SpatialMix>(o.trunk.width, o.trunk.key_norm, shift); }) {}
};

VRWKV6Impl::VRWKV6Impl(VRWKV6Options options, bool initialise)
    : options_(complete(std::move(options))),
      parts_(std::make_shared<Parts>(*this, options_, QuadShift{.head_size = options_.head_size})) {
  if (!initialise) return;
  parts_->initialise();
  initialise_vrwkv6_mixes(*parts_->trunk);
}

VRWKV6Impl::~VRWKV6Impl() = default;

std::string VRWKV6Impl::config_json() const { return to_config_json(options_); }

std::map<std::string, std::string> VRWKV6Impl::metadata() const { return {{kConfigMetadata, config_json()}}; }

std::string VRWKV6Impl::preprocessing() const { return preprocessing_of(options_.trunk, options_.classifier); }

at::Tensor VRWKV6Impl::logits_of(const at::Tensor& images) { return parts_->logits(images); }

std::vector<FeatureMap> VRWKV6Impl::features_of(const at::Tensor& images) { return parts_->trunk->features(images); }

}  // namespace wkv::models
