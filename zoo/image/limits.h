// How large an image may be, which its header tells.
#pragma once
#include <cstdint>
#include <string>

namespace wkv::zoo {

inline constexpr int64_t kMostPixels = int64_t{1} << 28;

// Throws wkv::Error for more pixels than that, and where a file of `bytes` cannot hold `least_bytes`, what the image
// takes when compressed as far as its format can: so a short file does not make us take much memory.
void require_decodable(const std::string& name, int64_t height, int64_t width, int64_t least_bytes, int64_t bytes);

}  // namespace wkv::zoo
