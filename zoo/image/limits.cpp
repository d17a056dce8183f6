#include "image/limits.h"

#include <fmt/format.h>

#include "wkv/error.h"

namespace wkv::zoo {

void require_decodable(const std::string& name, int64_t height, int64_t width, int64_t least_bytes, int64_t bytes) {
  if (height > kMostPixels / width) {
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: the image has {} x {} pixels (width x height), more than the {} allowed", name, width,
                            height, kMostPixels));
  }
  if (bytes < least_bytes) {
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: {} bytes cannot hold the {} x {} pixels announced: the file is "
                            "cut short or damaged",
                            name, bytes, width, height));
  }
}

}  // namespace wkv::zoo
