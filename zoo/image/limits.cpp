#include "image/limits.h"

#include <fmt/format.h>

#include "wkv/error.h"

namespace wkv::zoo {

void require_few_pixels(const std::string& name, int64_t height, int64_t width) {
  if (height <= kMostPixels / width) return;
  throw Error(ErrorCode::unsupported_format,
              fmt::format("{}: the image has {} x {} pixels (width x height), more than the {} allowed", name, width,
                          height, kMostPixels));
}

void require_enough_bytes(const std::string& name, int64_t bytes, int64_t least_bytes) {
  if (bytes >= least_bytes) return;
  throw Error(
      ErrorCode::corrupt_file,
      fmt::format("{}: {} bytes cannot hold the image, which takes at least {}: the file is cut short or damaged", name,
                  bytes, least_bytes));
}

}  // namespace wkv::zoo
