// Vision-RWKV for dense prediction: a VRWKV or VRWKV6 trunk inside a ViT-Adapter (arXiv 2205.08534), which gives the
// four scales that detectors and segmenters read; parameters and names as in OpenGVLab/Vision-RWKV.
#pragma once
#include <torch/nn/pimpl.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "wkv/models/vrwkv.h"
#include "wkv/models/vrwkv6.h"

namespace wkv::models {

// What is added to the adapter's maps. The published detectors and segmenters differ in it.
enum class AdapterVariant {
  detection,     // what leaves the trunk, to all four
  segmentation,  // what leaves the i-th of four interactions, to the i-th
};

// Upstream's key stands beside each, or is its name.
struct VRWKVAdapterOptions {
  // The trunk; patches of 16. Its class token, final norm, out_indices and head are not there.
  std::variant<VRWKVOptions, VRWKV6Options> backbone;
  AdapterVariant variant = AdapterVariant::detection;  // variant
  int64_t conv_inplane = 64;                           // channels of the spatial prior's first convolutions
  int64_t deform_num_heads = 6;                        // of deformable attention
  int64_t n_points = 4;                                // at which each head looks at each map
  double deform_ratio = 1;          // of the trunk's width: the values' of deformable attention; the heads divide it
  bool with_cffn = true;            // extractors end in a convolutional network
  double cffn_ratio = 0.25;         // of the trunk's width: that network's
  bool use_extra_extractor = true;  // two extractors more behind the last interaction
  bool add_rwkv_feature = true;     // the trunk's features are added to the adapter's maps
  // interaction_indexes: the first and the last block of each interaction, from block 0 to the last without a gap;
  // empty: four of the same length.
  std::vector<std::pair<int64_t, int64_t>> interaction_indexes;
  bool backbone_prefix = false;  // the names start with "backbone.", as in the published detectors' files

  const VisionTrunkOptions& trunk() const {
    return std::visit([](const auto& options) -> const VisionTrunkOptions& { return options.trunk; }, backbone);
  }
  bool operator==(const VRWKVAdapterOptions&) const = default;
};

// features(): four maps [B, C, H / s, W / s] for s = 4, 8, 16, 32, of images whose sides are multiples of 32; throws
// wkv::Error for others. Batch norms keep running statistics, see train() and eval().
class WKV_API VRWKVAdapterImpl : public VisionModel {
 public:
  // With upstream's initial values (torch's default generator draws the random ones), or, with initialise = false,
  // with parameters of no particular value, for a loader to replace. Throws wkv::Error for options that fit no model.
  explicit VRWKVAdapterImpl(VRWKVAdapterOptions options, bool initialise = true);
  ~VRWKVAdapterImpl() override;

  std::string family() const override;  // "vrwkv_adapter", around VRWKV6 "vrwkv6_adapter"
  std::string config_json() const override;
  std::map<std::string, std::string> metadata() const override;  // the configuration, of which shapes tell a part only
  int64_t classes() const override { return 0; }
  int64_t width() const override { return options_.trunk().width; }
  // Empty: detectors and segmenters resize images in ways of their own. They are normalised as by mm224.
  std::string preprocessing() const override { return ""; }
  const VRWKVAdapterOptions& options() const { return options_; }  // interaction_indexes never empty

 protected:
  at::Tensor logits_of(const at::Tensor& images) override;
  std::vector<FeatureMap> features_of(const at::Tensor& images) override;

 private:
  struct Parts;
  VRWKVAdapterOptions options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(VRWKVAdapter);

}  // namespace wkv::models
