// q_shift as a map from places to places:
//   y[b, h, w, c] = x[b, h + dh, w + dw, c], zero where (h + dh, w + dw) is not in the grid; class tokens are copied
// with (dh, dw) = (0, -s), (0, s), (-s, 0), (s, 0) for the channel groups 0 to 3 (the left, right, upper, lower
// neighbour) and (0, 0) for the channels after them. Its gradient is the map of -s.
// Memory: x and y [B, T, C], T = height * width + cls_tokens, class tokens last. Cost of an element: one load, one
// store, no arithmetic.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "q_shift/q_shift_run.h"

namespace wkv {

struct QShiftGrid {
  int64_t height, width, cls_tokens, shift;

  int64_t tokens() const { return height * width + cls_tokens; }

  static constexpr int kDirections = 5;  // left, right, upper, lower, here
  // How many tokens from token p the value of each direction is found; kNoNeighbour for none.
  std::array<int64_t, kDirections> offsets(int64_t p) const {
    if (p >= height * width) return {0, 0, 0, 0, 0};
    const int64_t h = p / width, w = p % width;
    const auto along = [](int64_t place, int64_t step, int64_t size, int64_t stride) {
      return place + step >= 0 && place + step < size ? step * stride : kNoNeighbour;
    };
    return {along(w, -shift, width, 1), along(w, shift, width, 1), along(h, -shift, height, width),
            along(h, shift, height, width), 0};
  }
};

// `shift` may be negative: then values go the other way.
inline QShiftGrid q_shift_grid(int64_t height, int64_t width, int64_t cls_tokens, int64_t shift) {
  // Beyond the grid, one distance is like another.
  const int64_t farthest = std::max(height, width);
  return {height, width, cls_tokens, std::clamp(shift, -farthest, farthest)};
}

// The channels of a token: the groups [int(n gamma i), int(n gamma (i + 1))), i = 0..3, within each of channels / n
// heads of n = head_size channels (0: one head of all), as far as the head has them.
inline std::vector<QShiftRun> q_shift_runs(int64_t channels, double gamma, int64_t head_size) {
  const int64_t size = head_size > 0 ? head_size : channels;
  std::array<int64_t, QShiftGrid::kDirections + 1> bounds;
  for (int i = 0; i < QShiftGrid::kDirections; ++i) {
    bounds[i] = std::min(size, static_cast<int64_t>(static_cast<double>(size) * gamma * i));
  }
  bounds.back() = size;
  std::vector<QShiftRun> runs;
  for (int64_t head = 0; head < channels; head += size) {
    for (int i = 0; i < QShiftGrid::kDirections; ++i) {
      if (bounds[i] < bounds[i + 1]) runs.push_back({head + bounds[i], bounds[i + 1] - bounds[i], i});
    }
  }
  return runs;
}

}  // namespace wkv
