// The segmenter: adapter, heads, windows.
#include "wkv/models/vrwkv_segmenter.h"

#include <fmt/format.h>

#include "layers/option_checks.h"
#include "vrwkv_adapter/dense_adapter.h"
#include "vrwkv_adapter/options.h"
#include "vrwkv_segmenter/sliding_window.h"
#include "vrwkv_segmenter/uper_head.h"

namespace wkv::models {
namespace {

VRWKVSegmenterOptions complete(VRWKVSegmenterOptions o) {
  constexpr const char* kName = "VRWKVSegmenterOptions";
  o.backbone = complete(std::move(o.backbone), kName);
  o.backbone.backbone_prefix = true;
  require_at_least(kName, "channels", o.channels, 1);
  require_at_least(kName, "num_classes", o.num_classes, 1);
  require_at_least(kName, "auxiliary_channels", o.auxiliary_channels, 0);
  if (!(o.dropout_ratio >= 0 && o.dropout_ratio < 1)) {  // also NaN
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: dropout_ratio must be at least 0 and below 1, got {}", kName, o.dropout_ratio));
  }
  require_at_least(kName, "window", o.window, 0);
  if (o.window % 32 != 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: window must be a multiple of 32, got {}", kName, o.window));
  }
  if (o.window > 0) require_in_range(kName, "stride", o.stride, 1, o.window);
  return o;
}

}  // namespace

struct VRWKVSegmenterImpl::Parts {
  Parts(torch::nn::Module& model, const VRWKVSegmenterOptions& o)
      : adapter(*model.register_module("backbone", std::make_shared<torch::nn::Module>()), o.backbone) {
    const auto sizes = [&](int64_t channels) {
      return PixelHeadSizes{
          .in = o.backbone.trunk().width, .channels = channels, .classes = o.num_classes, .dropout = o.dropout_ratio};
    };
    decode_head = model.register_module("decode_head", std::make_shared<UPerHead>(sizes(o.channels)));
    if (o.auxiliary_channels == 0) return;
    auxiliary_head = model.register_module("auxiliary_head", std::make_shared<FCNHead>(sizes(o.auxiliary_channels)));
  }

  DenseAdapter adapter;
  std::shared_ptr<UPerHead> decode_head;
  std::shared_ptr<FCNHead> auxiliary_head;
};

VRWKVSegmenterImpl::VRWKVSegmenterImpl(VRWKVSegmenterOptions options, bool initialise)
    : options_(complete(std::move(options))), parts_(std::make_shared<Parts>(*this, options_)) {
  if (!initialise) return;
  parts_->adapter.initialise();
  parts_->decode_head->initialise();
  if (parts_->auxiliary_head) parts_->auxiliary_head->initialise();
}

VRWKVSegmenterImpl::~VRWKVSegmenterImpl() = default;

VRWKVSegmenterImpl::HeadLogits VRWKVSegmenterImpl::head_logits(const at::Tensor& images) {
  std::array<at::Tensor, 4> maps;
  for (size_t i = 0; auto& feature : features(images)) maps[i++] = feature.patches;
  const auto resized = [&](const at::Tensor& logits) {
    return resize_bilinear(logits, images.size(2), images.size(3));
  };
  HeadLogits logits = {.decode = resized(parts_->decode_head->forward(maps))};
  if (parts_->auxiliary_head) logits.auxiliary = resized(parts_->auxiliary_head->forward(maps[2]));
  return logits;
}

at::Tensor VRWKVSegmenterImpl::logits_of(const at::Tensor& images) {
  if (is_training() || options_.window == 0) return head_logits(images).decode;
  return over_windows(images, options_.window, options_.stride,
                      [&](const at::Tensor& window) { return head_logits(window).decode; });
}

std::vector<FeatureMap> VRWKVSegmenterImpl::features_of(const at::Tensor& images) {
  return parts_->adapter.features(images);
}

std::string VRWKVSegmenterImpl::config_json() const {
  nlohmann::ordered_json json = adapter_config(options_.backbone);
  json["channels"] = options_.channels;
  json["num_classes"] = options_.num_classes;
  json["auxiliary_channels"] = options_.auxiliary_channels;
  json["dropout_ratio"] = options_.dropout_ratio;
  json["window"] = options_.window;
  json["stride"] = options_.stride;
  return json.dump();
}

std::map<std::string, std::string> VRWKVSegmenterImpl::metadata() const { return {{kConfigMetadata, config_json()}}; }

}  // namespace wkv::models
