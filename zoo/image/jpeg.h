// JPEG through libjpeg-turbo: sequential and progressive, grey, YCbCr, RGB, CMYK and YCCK.
#pragma once
#include <string>
#include <string_view>

#include "image/rgb_image.h"
#include "wkv/export.h"
#include "wkv/zoo/decode_rules.h"

namespace wkv::zoo {

// The pixels as they are stored: the orientation is not applied.
RgbImage decode_jpeg(std::string_view bytes, const std::string& name, DecodeRules rules);

// The EXIF data, from the TIFF header on; empty where there are none.
WKV_API std::string_view jpeg_exif(std::string_view bytes);

}  // namespace wkv::zoo
