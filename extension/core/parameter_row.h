// A parameter of each channel as the ops are given it: of the sequences' dtype, or fp32.
#pragma once
#include <cstdint>

namespace wkv {

struct ParameterRow {
  const void* values;
  bool is_float;  // fp32, whatever the io dtype
};

// Channels of a task: first, ..., last - 1.
struct ChannelRange {
  int64_t first, last;
};

}  // namespace wkv
