// VRWKV6: Vision-RWKV's trunk on RWKV-6's matrix states, run over the patches in both directions; parameters and names
// as in OpenGVLab/Vision-RWKV.
#pragma once
#include <torch/nn/pimpl.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "wkv/models/vision_model.h"
#include "wkv/models/vision_options.h"

namespace wkv::models {

struct VRWKV6Options {
  VisionTrunkOptions trunk;
  ClassifierOptions classifier;
  int64_t head_size = 64;  // a multiple of 4 that divides the width; upstream gives num_heads
  bool operator==(const VRWKV6Options&) const = default;
};

class WKV_API VRWKV6Impl : public VisionModel {
 public:
  // Initial values and errors as of VRWKVImpl.
  explicit VRWKV6Impl(VRWKV6Options options, bool initialise = true);
  ~VRWKV6Impl() override;

  std::string family() const override { return "vrwkv6"; }
  std::string config_json() const override;
  std::map<std::string, std::string> metadata() const override;  // the configuration, of which shapes tell a part only
  int64_t classes() const override { return options_.classifier.classes; }
  int64_t width() const override { return options_.trunk.width; }
  std::string preprocessing() const override;
  const VRWKV6Options& options() const { return options_; }  // out_indices never empty

 protected:
  at::Tensor logits_of(const at::Tensor& images) override;
  std::vector<FeatureMap> features_of(const at::Tensor& images) override;

 private:
  struct Parts;
  VRWKV6Options options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(VRWKV6);

}  // namespace wkv::models
