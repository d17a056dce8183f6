// PNG through libpng: every colour type and bit depth, interlaced or not.
#pragma once
#include <string>
#include <string_view>

#include "image/rgb_image.h"

namespace wkv::zoo {

// The pixels as they are stored: the orientation is not applied.
RgbImage decode_png(std::string_view bytes, const std::string& name);

// The EXIF data, from the TIFF header on; empty where there are none.
std::string_view png_exif(std::string_view bytes);

// Whether a PNG holds more than one frame (APNG).
bool is_animated_png(std::string_view bytes);

}  // namespace wkv::zoo
