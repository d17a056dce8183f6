// VRWKV6's options: limits, and upstream's configuration keys.
#include "vrwkv6/options.h"

#include "layers/option_checks.h"
#include "layers/vision_classifier.h"

namespace wkv::models {

VRWKV6Options complete(VRWKV6Options o) {
  constexpr const char* kName = "VRWKV6Options";
  o.trunk = complete(std::move(o.trunk), kName);
  require_classifier(o.classifier, kName);
  require_heads(kName, o.trunk.width, o.head_size);
  if (o.head_size % 4 != 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: head_size must be a multiple of 4, got {}", kName, o.head_size));
  }
  return o;
}

std::string to_config_json(const VRWKV6Options& o) {
  nlohmann::ordered_json json = vision_config("VRWKV6", o.trunk, o.classifier);
  json["num_heads"] = o.trunk.width / o.head_size;
  json["head_size"] = o.head_size;
  return json.dump();
}

}  // namespace wkv::models
