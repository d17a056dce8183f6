// A decoded image: 8 bits a channel, rows from the top, red first.
#pragma once
#include <cstdint>
#include <memory>

namespace wkv::zoo {

struct RgbImage {
  RgbImage(int64_t image_height, int64_t image_width)
      : height(image_height),
        width(image_width),
        pixels(std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(image_height * image_width * 3))) {}

  uint8_t* row(int64_t y) { return pixels.get() + y * width * 3; }
  const uint8_t* row(int64_t y) const { return pixels.get() + y * width * 3; }

  int64_t height, width;
  std::unique_ptr<uint8_t[]> pixels;  // [height, width, 3]
};

}  // namespace wkv::zoo
