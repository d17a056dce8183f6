// Limits and rules that the options of several models share.
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "wkv/error.h"

namespace wkv::models {

// options: the struct's name, for messages, as everywhere here.
inline void require_at_least(const char* options, const char* name, int64_t value, int64_t least) {
  if (value < least) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: {} must be at least {}, got {}", options, name, least, value));
  }
}

inline void require_in_range(const char* options, const char* name, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: {} must be in {}..{}, got {}", options, name, least, most, value));
  }
}

// Heads of this size fill the width, and the ops take them.
inline void require_heads(const char* options, int64_t width, int64_t head_size) {
  require_at_least(options, "head_size", head_size, 1);
  if (head_size > 256 || width % head_size != 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: head_size must divide the width of the heads ({}) and be at most 256, got {}", options,
                            width, head_size));
  }
}

inline void require_positive_eps(const char* options, double ln_x_eps) {
  if (!(ln_x_eps > 0)) {  // also NaN
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: ln_x_eps must be above 0, got {}", options, ln_x_eps));
  }
}

// Width of the channel mix where the time mix has a gate: 3.5 * width, rounded down to a multiple of 32.
inline int64_t gated_ffn_width(int64_t width) { return std::max<int64_t>(7 * width / 2 / 32 * 32, 32); }

}  // namespace wkv::models
