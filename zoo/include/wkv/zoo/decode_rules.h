// Whose conventions an image is decoded by.
#pragma once

namespace wkv::zoo {

// Both drop the alpha channel, copy grey to the three colours, keep the high byte of 16 bits and ignore colour
// profiles. (Of grey of 16 bits Pillow keeps the low byte, and makes all above 255 white: that is not followed.)
enum class DecodeRules {
  opencv,  // EXIF orientation applied
  pillow,  // it is not; CMYK is rounded to RGB, where OpenCV truncates
};

}  // namespace wkv::zoo
