#include "image/orientation.h"

#include <utility>

namespace wkv::zoo {
namespace {

// Numbers of a TIFF file in its own byte order; beyond its end 0.
class TiffNumbers {
 public:
  explicit TiffNumbers(std::string_view file) : file_(file), little_(file.starts_with("II")) {}

  uint32_t u16(size_t at) const { return little_ ? byte(at) | byte(at + 1) << 8 : byte(at) << 8 | byte(at + 1); }
  uint32_t u32(size_t at) const { return little_ ? u16(at) | u16(at + 2) << 16 : u16(at) << 16 | u16(at + 2); }

 private:
  uint32_t byte(size_t at) const { return at < file_.size() ? static_cast<unsigned char>(file_[at]) : 0; }

  std::string_view file_;
  bool little_;
};

}  // namespace

int exif_orientation(std::string_view exif) {
  constexpr uint32_t kOrientation = 0x0112;
  constexpr size_t kEntryBytes = 12, kValue = 8;  // tag, type, count, value
  if (!exif.starts_with("II") && !exif.starts_with("MM")) return 1;
  const TiffNumbers numbers(exif);
  if (numbers.u16(2) != 42) return 1;
  const size_t directory = numbers.u32(4), entries = numbers.u16(directory);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + i * kEntryBytes;
    if (numbers.u16(entry) != kOrientation) continue;
    const uint32_t value = numbers.u16(entry + kValue);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

RgbImage turned_upright(RgbImage image, int orientation) {
  if (orientation == 1) return image;
  const bool transposed = orientation >= 5;
  const bool from_the_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_the_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  // Steps in the stored image, in pixels: to the stored column and row that come next.
  const int64_t column = from_the_right ? -1 : 1;
  const int64_t row = from_the_bottom ? -image.width : image.width;
  const int64_t first = (from_the_bottom ? image.height - 1 : 0) * image.width + (from_the_right ? image.width - 1 : 0);
  const int64_t step_x = transposed ? row : column, step_y = transposed ? column : row;

  RgbImage upright(transposed ? image.width : image.height, transposed ? image.height : image.width);
  for (int64_t y = 0; y < upright.height; ++y) {
    uint8_t* to = upright.row(y);
    for (int64_t x = 0; x < upright.width; ++x) {
      const uint8_t* from = image.pixels.get() + (first + y * step_y + x * step_x) * 3;
      for (int c = 0; c < 3; ++c) to[3 * x + c] = from[c];
    }
  }
  return upright;
}

}  // namespace wkv::zoo
