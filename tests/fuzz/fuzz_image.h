// A fuzz target of an image format: whatever the bytes, they give an image that can be resized, or wkv::Error.
#pragma once
#include <cstdlib>
#include <string>

#include "image/decode.h"
#include "image/resize.h"
#include "wkv/error.h"

namespace wkv::fuzz {

inline int use_image(const std::string& file) {
  for (const auto rules : {zoo::DecodeRules::opencv, zoo::DecodeRules::pillow}) {
    try {
      const zoo::RgbImage image = zoo::decode(file, "input", rules);
      if (image.height < 1 || image.width < 1) std::abort();
      zoo::resize_part(image, 2 * image.height, image.width / 3 + 1, {0, 2}, {image.width / 3, 1});
    } catch (const Error&) {
    }
  }
  return 0;
}

}  // namespace wkv::fuzz
