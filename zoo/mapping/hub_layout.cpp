// Which package's layout a checkpoint has, and which one a family is written in.
#include "mapping/hub_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "mapping/family.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

// A new layout adds its mapping/<family>_<package>.cpp and a row here.
std::span<const HubLayout> hub_layouts() {
  static const HubLayout all[] = {rwkv_transformers_layout, rwkv6_fla_layout, rwkv7_fla_layout, rwkv7_prefixed_layout,
                                  based_hub_layout};
  return all;
}

}  // namespace

void from_hub_layout(Checkpoint& checkpoint, Config& config) {
  const auto layout = std::ranges::find_if(
      hub_layouts(), [&](const HubLayout& known) { return known.matches && known.matches(checkpoint); });
  if (layout == hub_layouts().end()) {
    // LLaMA's names are those of transformers, and our own for it.
    if (!checkpoint.has_prefix("model.layers.") || transformer_family.matches(checkpoint)) return;
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: another package's model (model_type {}): not supported, only flash-linear-attention's "
                            "rwkv6 and rwkv7 without layers of attention are",
                            checkpoint.path(), config.text("model_type", "unknown")));
  }
  if (!checkpoint.quantization().empty()) {
    throw Error(
        ErrorCode::unsupported_format,
        fmt::format("{}: quantised matrices under the names of another package: not supported", checkpoint.path()));
  }
  layout->read(checkpoint, config);
}

nlohmann::ordered_json to_hub_layout(const std::string& family, const nlohmann::json& config, ModelTensors& model,
                                     const std::string& source) {
  const auto layout = std::ranges::find_if(
      hub_layouts(), [&](const HubLayout& known) { return known.family && family == known.family; });
  if (layout == hub_layouts().end()) {
    throw Error(
        ErrorCode::unsupported_format,
        fmt::format("{}: a model of family {}: no package on the hub has a layout of its own for it", source, family));
  }
  return layout->write(config, model, source);
}

}  // namespace wkv::zoo
