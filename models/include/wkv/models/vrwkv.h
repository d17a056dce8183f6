// Vision-RWKV, "VRWKV" (arXiv 2403.02308): a plain image backbone on the bidirectional WKV of each channel; parameters
// and names as in OpenGVLab/Vision-RWKV.
#pragma once
#include <torch/nn/pimpl.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "wkv/models/vision_model.h"
#include "wkv/models/vision_options.h"

namespace wkv::models {

// From which decays, bonuses and mixes training starts; init_mode.
enum class VRWKVInit {
  fancy,   // different in each channel and block: all that is published
  local,   // a fast decay, and tokens not mixed with their neighbours
  global,  // no decay, and tokens mixed with their neighbours in equal parts
};

struct VRWKVOptions {
  VisionTrunkOptions trunk;
  ClassifierOptions classifier;
  int64_t shift_pixel = 1;      // the distance of the neighbours that tokens are mixed with; 0: not mixed, and no mixes
  double channel_gamma = 0.25;  // the share of the channels that each of the four neighbours has, up to 1/4
  VRWKVInit init_mode = VRWKVInit::fancy;
  // 0: the op computes the paper's equation; 16, 32: what the published kernels compute, see ops::bi_wkv.
  int64_t compat_chunks = 0;
  bool operator==(const VRWKVOptions&) const = default;
};

class WKV_API VRWKVImpl : public VisionModel {
 public:
  // With upstream's initial values (torch's default generator draws the random ones), or, with initialise = false,
  // with parameters of no particular value, for a loader to replace. Throws wkv::Error for options that fit no model.
  explicit VRWKVImpl(VRWKVOptions options, bool initialise = true);
  ~VRWKVImpl() override;

  std::string family() const override { return "vrwkv"; }
  std::string config_json() const override;
  std::map<std::string, std::string> metadata() const override;  // the configuration, of which shapes tell a part only
  int64_t classes() const override { return options_.classifier.classes; }
  int64_t width() const override { return options_.trunk.width; }
  std::string preprocessing() const override;
  const VRWKVOptions& options() const { return options_; }  // out_indices never empty

 protected:
  at::Tensor logits_of(const at::Tensor& images) override;
  std::vector<FeatureMap> features_of(const at::Tensor& images) override;

 private:
  struct Parts;
  VRWKVOptions options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(VRWKV);

}  // namespace wkv::models
