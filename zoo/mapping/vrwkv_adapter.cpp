// Dense adapters by themselves, and inside of detectors, of which the rest is not supported: the mapping is the
// identity.
#include "mapping/vrwkv_adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "mapping/family.h"
#include "mapping/vision_trunk.h"
#include "mapping/vrwkv.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using models::AdapterVariant;
using models::VRWKVAdapterOptions;

// Where the configuration doesn't say. Upstream's own, which has the model's type, leaves out what is as it is by
// default; without it, sizes are the rule: the norms of the smallest published adapter stand ahead of the mixes, those
// of the others behind them.
bool adapter_post_norm(const Checkpoint& file, int64_t width, bool six, Config& config) {
  const bool given = config.flag("post_norm", true) == config.flag("post_norm", false);
  if (given || !config.text("type", "").empty()) return false;
  if (six || (width != 192 && width != 384 && width != 768 && width != 1024)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: an adapter of a size that is not published, whose tensors don't tell where its norms "
                            "stand: give it as configuration, {{\"post_norm\": true}} or false",
                            file.path()));
  }
  return width != 192;
}

// Rows of a matrix as a share of the width; upstream rounds the share that it is configured with down.
double read_ratio(const Checkpoint& file, const std::string& matrix, const char* key, int64_t width, Config& config) {
  const int64_t rows = file.shape(matrix, 2)[0];
  file.require_shape(matrix, {rows, width});
  const double ratio = static_cast<double>(rows) / static_cast<double>(width);
  const double given = config.number(key, ratio);
  if (std::floor(given * static_cast<double>(width) + 1e-6) != static_cast<double>(rows)) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("{}: {} is {}, but the tensors say {}", file.path(), key, given, ratio));
  }
  return ratio;
}

// Names and shapes tell their product only; four points are published.
void read_heads_and_points(const Checkpoint& file, const std::string& attention, VRWKVAdapterOptions& o,
                           Config& config) {
  const int64_t samples = file.shape(attention + "attention_weights.weight", 2)[0];
  const int64_t heads = config.integer("deform_num_heads", 0);
  o.n_points = config.integer("n_points", heads > 0 ? samples / heads : 4);
  o.deform_num_heads = heads > 0 ? heads : samples / std::max<int64_t>(o.n_points, 1);
  if (o.deform_num_heads < 1 || o.n_points < 1 || samples % o.n_points != 0 ||
      samples / o.n_points != o.deform_num_heads) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("{}: deform_num_heads times n_points must be {}, as the tensors say, got {} * {}",
                            file.path(), samples, o.deform_num_heads, o.n_points));
  }
}

int64_t read_planes(const Checkpoint& file, const std::string& spm, Config& config) {
  const int64_t planes = file.shape(spm + "stem.0.weight", 4)[0];
  file.require_shape(spm + "stem.3.weight", {planes, planes, 3, 3});
  config.expect("conv_inplane", planes);
  return planes;
}

void read_interactions(const Checkpoint& file, const std::string& prefix, VRWKVAdapterOptions& o, Config& config) {
  const int64_t count = file.count_blocks(prefix + "interactions.");
  const std::string extractor = prefix + "interactions.0.extractor.";
  const int64_t width = o.trunk().width;
  read_heads_and_points(file, extractor + "attn.", o, config);
  o.deform_ratio = read_ratio(file, extractor + "attn.value_proj.weight", "deform_ratio", width, config);
  o.with_cffn = file.has(extractor + "ffn.fc1.weight");
  config.expect("with_cffn", {o.with_cffn ? "true" : "false"});
  if (o.with_cffn) o.cffn_ratio = read_ratio(file, extractor + "ffn.fc1.weight", "cffn_ratio", width, config);
  config.accept("cffn_ratio");
  o.use_extra_extractor = file.has_prefix(fmt::format("{}interactions.{}.extra_extractors.", prefix, count - 1));
  config.expect("use_extra_extractor", {o.use_extra_extractor ? "true" : "false"});
  o.interaction_indexes = config.ranges("interaction_indexes").value_or(decltype(o.interaction_indexes)());
  if (const size_t given = o.interaction_indexes.empty() ? 4 : o.interaction_indexes.size();
      given != static_cast<size_t>(count)) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("{}: the tensors are those of {} interactions, but interaction_indexes {} {}", file.path(),
                            count, o.interaction_indexes.empty() ? "must be given for other than" : "lists", given));
  }
}

std::shared_ptr<models::Model> build_adapter(const Checkpoint& file, Config& config) {
  return std::make_shared<models::VRWKVAdapterImpl>(read_adapter(file, config), /*initialise=*/false);
}

// Of a detector or segmenter, the tensors around its backbone are not used.
std::string adapter_parameter(const std::string& name) {
  const auto belongs_to = [&](const char* part) { return name.starts_with(part); };
  return std::ranges::any_of(std::array{"neck.", "rpn_head.", "roi_head.", "decode_head.", "auxiliary_head."},
                             belongs_to)
             ? ""
             : name;
}

bool is_vrwkv_adapter(const Checkpoint& file) { return has_adapter(file, "spatial_decay"); }
bool is_vrwkv6_adapter(const Checkpoint& file) { return has_adapter(file, "time_maa_x"); }

}  // namespace

bool has_adapter(const Checkpoint& file, const std::string& att_parameter) {
  const std::string prefix = trunk_prefix(file);
  return file.has(prefix + "spm.stem.0.weight") && file.has(prefix + "layers.0.att." + att_parameter);
}

VRWKVAdapterOptions read_adapter(const Checkpoint& file, Config& config) {
  read_saved_config(file, config);
  const std::string prefix = trunk_prefix(file);
  const bool six = has_adapter(file, "time_maa_x");
  const bool post_norm = adapter_post_norm(file, file.shape(prefix + "level_embed", 2)[1], six, config);
  VRWKVAdapterOptions o;
  if (six) {
    o.backbone = read_vrwkv6(file, prefix, post_norm, config);
  } else {
    o.backbone = read_vrwkv(file, prefix, post_norm, config);
  }
  o.conv_inplane = read_planes(file, prefix + "spm.", config);
  read_interactions(file, prefix, o, config);
  const bool segments = file.has("decode_head.conv_seg.weight");
  config.require("variant", {"detection", "segmentation"});
  o.variant = config.text("variant", segments ? "segmentation" : "detection") == "segmentation"
                  ? AdapterVariant::segmentation
                  : AdapterVariant::detection;
  o.add_rwkv_feature = config.flag("add_rwkv_feature", o.add_rwkv_feature);
  o.backbone_prefix = !prefix.empty();
  config.accept("pretrain_size");  // of the image that pos_embed has its rows for, as img_size says too
  return o;
}

const Family vrwkv_adapter_family = {"vrwkv_adapter", is_vrwkv_adapter, build_adapter, adapter_parameter};
const Family vrwkv6_adapter_family = {"vrwkv6_adapter", is_vrwkv6_adapter, build_adapter, adapter_parameter};

}  // namespace wkv::zoo
