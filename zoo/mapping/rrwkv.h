// How a file says RRWKV's interval, which no shape tells.
#pragma once

namespace wkv::zoo {

inline constexpr const char* kIntervalMetadata = "rrwkv.interval";  // of safetensors
inline constexpr const char* kIntervalTensor = "rrwkv_interval";    // int64 without dimensions, for other containers

}  // namespace wkv::zoo
