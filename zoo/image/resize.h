// Pillow's bicubic filter over bytes, bit for bit (as of Pillow 10.4; later versions take tall images' vertical pass
// first, the published models' never did).
#pragma once
#include <cstdint>
#include <memory>

#include "image/rgb_image.h"

namespace wkv::zoo {

// Three planes of bytes, red first.
struct Planes {
  Planes(int64_t planes_height, int64_t planes_width)
      : height(planes_height),
        width(planes_width),
        values(std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(3 * planes_height * planes_width))) {}

  int64_t height, width;
  std::unique_ptr<uint8_t[]> values;  // [3, height, width]
};

// A part of an axis: [first, first + length).
struct Interval {
  int64_t first, length;
};

// The rows and columns asked for of what resizing the image to height x width gives. The cost is that of the part.
Planes resize_part(const RgbImage& image, int64_t height, int64_t width, Interval rows, Interval columns);

}  // namespace wkv::zoo
