// What a published pipeline does to a decoded image.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "wkv/zoo/decode_rules.h"

namespace wkv::zoo {

struct Pipeline {
  DecodeRules rules;
  int64_t short_side;  // what the image's shorter side is resized to
  int64_t crop;        // then its central square
  // (byte - mean) / deviation of each channel
  std::array<double, 3> mean, deviation;
};

// Throws wkv::Error for a name that is none of wkv/zoo/image.h.
Pipeline parse_pipeline(const std::string& name);

}  // namespace wkv::zoo
