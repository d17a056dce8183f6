// Segmenters of an adapter and UperNet under the published names: the mapping is the identity.
#include "wkv/models/vrwkv_segmenter.h"

#include "mapping/family.h"
#include "mapping/vrwkv_adapter.h"

namespace wkv::zoo {
namespace {

bool is_vrwkv_segmenter(const Checkpoint& file) {
  return file.has("decode_head.conv_seg.weight") && file.has("backbone.spm.stem.0.weight");
}

// A head's last layer [classes, channels, 1, 1]: its channels.
int64_t read_head(const Checkpoint& file, const std::string& head, int64_t classes) {
  const std::string name = head + "conv_seg.weight";
  const int64_t channels = file.shape(name, 4)[1];
  file.require_shape(name, {classes, channels, 1, 1});
  return channels;
}

std::shared_ptr<models::Model> build_vrwkv_segmenter(const Checkpoint& file, Config& config) {
  models::VRWKVSegmenterOptions o;
  o.backbone = read_adapter(file, config);
  const int64_t width = o.backbone.trunk().width;
  o.num_classes = file.shape("decode_head.conv_seg.weight", 4)[0];
  o.channels = read_head(file, "decode_head.", o.num_classes);
  file.require_shape("decode_head.fpn_bottleneck.conv.weight", {o.channels, 4 * o.channels, 3, 3});
  const bool has_auxiliary = file.has_prefix("auxiliary_head.");
  o.auxiliary_channels = has_auxiliary ? read_head(file, "auxiliary_head.", o.num_classes) : 0;
  if (has_auxiliary) file.require_shape("auxiliary_head.convs.0.conv.weight", {o.auxiliary_channels, width, 3, 3});
  o.dropout_ratio = config.number("dropout_ratio", o.dropout_ratio);
  o.window = config.integer("window", o.window);
  o.stride = config.integer("stride", o.stride);
  config.expect("num_classes", o.num_classes);
  config.expect("channels", o.channels);
  config.expect("auxiliary_channels", o.auxiliary_channels);
  config.require("pool_scales", {"[1,2,3,6]"});
  return std::make_shared<models::VRWKVSegmenterImpl>(o, /*initialise=*/false);
}

std::string vrwkv_segmenter_parameter(const std::string& name) { return name; }

}  // namespace

const Family vrwkv_segmenter_family = {"vrwkv_segmenter", is_vrwkv_segmenter, build_vrwkv_segmenter,
                                       vrwkv_segmenter_parameter};

}  // namespace wkv::zoo
