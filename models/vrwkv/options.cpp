// VRWKV's options: limits, and upstream's configuration keys.
#include "vrwkv/options.h"

#include "layers/option_checks.h"
#include "layers/vision_classifier.h"

namespace wkv::models {

VRWKVOptions complete(VRWKVOptions o) {
  constexpr const char* kName = "VRWKVOptions";
  o.trunk = complete(std::move(o.trunk), kName);
  require_classifier(o.classifier, kName);
  require_at_least(kName, "shift_pixel", o.shift_pixel, 0);
  if (!(o.channel_gamma >= 0 && o.channel_gamma <= 0.25)) {  // also NaN
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: channel_gamma must be in 0..0.25, got {}", kName, o.channel_gamma));
  }
  if (o.compat_chunks != 0 && o.compat_chunks != 16 && o.compat_chunks != 32) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: compat_chunks must be 0, 16 or 32, got {}", kName, o.compat_chunks));
  }
  return o;
}

std::string to_config_json(const VRWKVOptions& o) {
  constexpr const char* kInits[] = {"fancy", "local", "global"};
  nlohmann::ordered_json json = vision_config("VRWKV", o.trunk, o.classifier);
  json["shift_pixel"] = o.shift_pixel;
  json["channel_gamma"] = o.channel_gamma;
  json["init_mode"] = kInits[static_cast<size_t>(o.init_mode)];
  json["compat_chunks"] = o.compat_chunks;
  return json.dump();
}

}  // namespace wkv::models
