// Semantic segmentation with Vision-RWKV: an adapter and the UperNet head (arXiv 1807.10221) over its four scales;
// parameters and names as in OpenGVLab/Vision-RWKV.
#pragma once
#include <torch/nn/pimpl.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "wkv/models/vrwkv_adapter.h"

namespace wkv::models {

// Upstream's key stands beside each, or is its name.
struct VRWKVSegmenterOptions {
  VRWKVAdapterOptions backbone = {.variant = AdapterVariant::segmentation};
  int64_t channels = 512;            // of the head
  int64_t num_classes = 150;         // of both heads
  int64_t auxiliary_channels = 256;  // of the head that trains beside it on the third scale; 0: there is none
  double dropout_ratio = 0.1;        // share of the channels that training drops before the last layer of each head
  // Evaluated as published, an image is cut into squares of this side, this far apart at most, each by itself, and
  // logits of pixels in several are averaged; window 0: the image at once. (test_cfg: crop_size, stride)
  int64_t window = 512, stride = 341;
  bool operator==(const VRWKVSegmenterOptions&) const = default;
};

// forward(): logits [B, classes, H, W]. In training the image is taken at once, and its sides, as those of a window,
// must be multiples of 32.
class WKV_API VRWKVSegmenterImpl : public VisionModel {
 public:
  // Initial values and errors as of VRWKVAdapterImpl.
  explicit VRWKVSegmenterImpl(VRWKVSegmenterOptions options, bool initialise = true);
  ~VRWKVSegmenterImpl() override;

  // What training adds a loss for: the logits of both heads for whole images, [B, classes, H, W].
  struct HeadLogits {
    at::Tensor decode;
    at::Tensor auxiliary;  // undefined without an auxiliary head
  };
  HeadLogits head_logits(const at::Tensor& images);

  std::string family() const override { return "vrwkv_segmenter"; }
  std::string config_json() const override;
  std::map<std::string, std::string> metadata() const override;  // as of VRWKVAdapterImpl
  int64_t classes() const override { return options_.num_classes; }
  int64_t width() const override { return options_.backbone.trunk().width; }
  // Empty: images of any aspect ratio, the short side resized to 512, then both to multiples of 32, bilinear; they are
  // normalised as by mm224.
  std::string preprocessing() const override { return ""; }
  const VRWKVSegmenterOptions& options() const { return options_; }

 protected:
  at::Tensor logits_of(const at::Tensor& images) override;
  std::vector<FeatureMap> features_of(const at::Tensor& images) override;  // the adapter's, see VRWKVAdapterImpl

 private:
  struct Parts;
  VRWKVSegmenterOptions options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(VRWKVSegmenter);

}  // namespace wkv::models
