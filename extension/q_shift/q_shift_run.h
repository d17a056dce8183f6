// Channels that q_shift treats alike, for kernels.
#pragma once
#include <cstdint>

namespace wkv {

// Stands for how far a neighbour is that is not in the grid.
inline constexpr int64_t kNoNeighbour = INT64_MIN;

// Neighbouring channels that take their values from the same direction (see QShiftGrid).
struct QShiftRun {
  int64_t first, count;
  int direction;
};

}  // namespace wkv
