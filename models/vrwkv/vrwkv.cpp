// VRWKV: trunk and head, and what is its own about them.
#include "wkv/models/vrwkv.h"

#include "layers/vision_classifier.h"
#include "vrwkv/initial_values.h"
#include "vrwkv/options.h"
#include "vrwkv/spatial_mix.h"

namespace wkv::models {

struct VRWKVImpl::Parts : VisionClassifier {
  Parts(torch::nn::Module& model, const VRWKVOptions& o, const QuadShift& shift)
      : VisionClassifier(model, o.trunk, o.classifier, shift, [&] {
          return std::make_shared<VRWKVSpatialMix>(o.trunk.width, o.trunk.key_norm, shift, o.compat_chunks);
        }) {}
};

VRWKVImpl::VRWKVImpl(VRWKVOptions options, bool initialise)
    : options_(complete(std::move(options))),
      parts_(std::make_shared<Parts>(*this, options_,
                                     QuadShift{.pixels = options_.shift_pixel, .gamma = options_.channel_gamma})) {
  if (!initialise) return;
  parts_->initialise();
  initialise_vrwkv_mixes(*parts_->trunk, options_.init_mode);
}

VRWKVImpl::~VRWKVImpl() = default;

std::string VRWKVImpl::config_json() const { return to_config_json(options_); }

std::map<std::string, std::string> VRWKVImpl::metadata() const { return {{kConfigMetadata, config_json()}}; }

std::string VRWKVImpl::preprocessing() const { return preprocessing_of(options_.trunk, options_.classifier); }

at::Tensor VRWKVImpl::logits_of(const at::Tensor& images) { return parts_->logits(images); }

std::vector<FeatureMap> VRWKVImpl::features_of(const at::Tensor& images) { return parts_->trunk->features(images); }

}  // namespace wkv::models
