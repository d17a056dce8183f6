#include "vrwkv_adapter/options.h"

#include <fmt/format.h>

#include <cmath>

#include "layers/option_checks.h"
#include "layers/vision_classifier.h"
#include "vrwkv/options.h"
#include "vrwkv6/options.h"

namespace wkv::models {
namespace {

// This share of the width, to be a whole number; 0: it is none.
int64_t share_of(int64_t width, double ratio) {
  const double share = static_cast<double>(width) * ratio;
  const bool whole = share >= 1 && share <= 1e9 && std::abs(share - std::round(share)) < 1e-6;
  return whole ? std::llround(share) : 0;
}

std::vector<std::pair<int64_t, int64_t>> equal_ranges(int64_t layers, int64_t count) {
  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (int64_t i = 0; i < count; ++i) ranges.emplace_back(i * layers / count, (i + 1) * layers / count - 1);
  return ranges;
}

// From block 0 to the last, without a gap or an overlap.
bool cover(const std::vector<std::pair<int64_t, int64_t>>& ranges, int64_t layers) {
  int64_t next = 0;
  for (const auto& [first, last] : ranges) {
    if (first != next || last < first || last >= layers) return false;
    next = last + 1;
  }
  return next == layers;
}

}  // namespace

int64_t value_width(const VRWKVAdapterOptions& o) { return share_of(o.trunk().width, o.deform_ratio); }
int64_t cffn_width(const VRWKVAdapterOptions& o) { return share_of(o.trunk().width, o.cffn_ratio); }

VRWKVAdapterOptions complete(VRWKVAdapterOptions o, const char* owner) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: {}", owner, what));
  };
  std::visit(
      [&](auto& backbone) {
        if (backbone.trunk.class_token) refuse("backbone: an adapter's trunk has no class token");
        backbone.trunk.final_norm = false;
        backbone.trunk.out_indices.clear();
        backbone.classifier = {.classes = 0, .backbone_prefix = false};
        backbone = complete(std::move(backbone));
      },
      o.backbone);
  const VisionTrunkOptions& trunk = o.trunk();
  if (trunk.patch_size != 16) refuse(fmt::format("patch_size must be 16, got {}", trunk.patch_size));
  require_at_least(owner, "conv_inplane", o.conv_inplane, 1);
  require_at_least(owner, "deform_num_heads", o.deform_num_heads, 1);
  require_at_least(owner, "n_points", o.n_points, 1);
  if (value_width(o) == 0 || value_width(o) % o.deform_num_heads != 0) {
    refuse(fmt::format("deform_ratio times the width must be a multiple of the deform_num_heads, got {} * {} and {}",
                       o.deform_ratio, trunk.width, o.deform_num_heads));
  }
  if (o.with_cffn && cffn_width(o) == 0)
    refuse(fmt::format("cffn_ratio times the width must be a whole number, got {} * {}", o.cffn_ratio, trunk.width));
  if (o.interaction_indexes.empty()) {
    if (trunk.layers % 4 != 0) refuse(fmt::format("interaction_indexes must be given for {} blocks", trunk.layers));
    o.interaction_indexes = equal_ranges(trunk.layers, 4);
  }
  if (!cover(o.interaction_indexes, trunk.layers)) {
    refuse(fmt::format("interaction_indexes must lead from block 0 to block {} without a gap or an overlap, got {}",
                       trunk.layers - 1, nlohmann::json(o.interaction_indexes).dump()));
  }
  if (o.variant == AdapterVariant::segmentation && o.interaction_indexes.size() != 4)
    refuse(fmt::format("the segmentation variant has four interactions, got {}", o.interaction_indexes.size()));
  return o;
}

nlohmann::ordered_json adapter_config(const VRWKVAdapterOptions& o) {
  nlohmann::ordered_json json = std::visit(
      [](const auto& backbone) { return nlohmann::ordered_json::parse(to_config_json(backbone)); }, o.backbone);
  for (const char* key : {"final_norm", "with_cls_token", "output_cls_token", "out_indices", "num_classes"})
    json.erase(key);
  const bool is_vrwkv6 = std::holds_alternative<VRWKV6Options>(o.backbone);
  json["type"] = is_vrwkv6 ? "VRWKV6_Adapter" : "VRWKV_Adapter";
  json["variant"] = o.variant == AdapterVariant::segmentation ? "segmentation" : "detection";
  json["conv_inplane"] = o.conv_inplane;
  json["deform_num_heads"] = o.deform_num_heads;
  json["n_points"] = o.n_points;
  json["deform_ratio"] = o.deform_ratio;
  json["with_cffn"] = o.with_cffn;
  json["cffn_ratio"] = o.cffn_ratio;
  json["use_extra_extractor"] = o.use_extra_extractor;
  json["add_rwkv_feature"] = o.add_rwkv_feature;
  json["interaction_indexes"] = o.interaction_indexes;
  return json;
}

}  // namespace wkv::models
