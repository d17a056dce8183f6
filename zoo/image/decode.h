// From a file's bytes to pixels, whichever of the formats it is.
#pragma once
#include <string>
#include <string_view>

#include "image/rgb_image.h"
#include "wkv/export.h"
#include "wkv/zoo/decode_rules.h"

namespace wkv::zoo {

// Throws wkv::Error, whose message begins with `name`, for bytes that are no whole JPEG or PNG image, and for an image
// above the limits, before memory for it is taken.
WKV_API RgbImage decode(std::string_view bytes, const std::string& name, DecodeRules rules);

}  // namespace wkv::zoo
