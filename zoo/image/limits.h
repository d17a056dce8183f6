// How large an image may be, which its header tells.
#pragma once
#include <cstdint>
#include <string>

namespace wkv::zoo {

inline constexpr int64_t kMostPixels = int64_t{1} << 28;

// Throw wkv::Error: for more pixels than that; where the file has fewer bytes than the image takes when compressed as
// far as its format can, so that a short file does not make us take much memory.
void require_few_pixels(const std::string& name, int64_t height, int64_t width);
void require_enough_bytes(const std::string& name, int64_t bytes, int64_t least_bytes);

}  // namespace wkv::zoo
