// The EXIF orientation (tag 0x0112 of the first image file directory): how the stored image is to be turned.
#pragma once
#include <string_view>

#include "image/rgb_image.h"
#include "wkv/export.h"

namespace wkv::zoo {

// 1 to 8; exif: a TIFF header and what follows it. 1, the image as it is stored, where there is no such tag, or another
// value.
WKV_API int exif_orientation(std::string_view exif);

// The image as it is meant to be seen.
WKV_API RgbImage turned_upright(RgbImage image, int orientation);

}  // namespace wkv::zoo
