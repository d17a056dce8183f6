// The map of q_shift. It has no kernel: its CPU code copies runs of bytes to where this map says.
#include "q_shift/q_shift.h"

#include "op_case.h"

namespace wkv::test {
namespace {

constexpr int64_t kHeight = 3, kWidth = 5, kClassTokens = 2, kTokens = kHeight * kWidth + kClassTokens;
constexpr int64_t kHeadSize = 11, kChannels = 2 * kHeadSize;

Doubles shifted(const Doubles& x, int64_t shift) {
  const QShiftGrid grid{kHeight, kWidth, kClassTokens, shift};
  Doubles y(x.size());
  for (int64_t token = 0; token < kTokens; ++token) {
    const auto offsets = grid.offsets(token);
    for (const QShiftRun& run : q_shift_runs(kChannels, 0.25, kHeadSize)) {
      const int64_t offset = offsets[run.direction];
      for (int64_t c = run.first; c < run.first + run.count && offset != kNoNeighbour; ++c) {
        y[token * kChannels + c] = x[(token + offset) * kChannels + c];
      }
    }
  }
  return y;
}

Doubles reference(const Doubles& x, int64_t shift) {
  Doubles y = x;
  for (int64_t h = 0; h < kHeight; ++h) {
    for (int64_t w = 0; w < kWidth; ++w) {
      for (int64_t c = 0; c < kChannels; ++c) {
        const int64_t channel = c % kHeadSize;  // the bounds of the groups: int(11 / 4 * i)
        int64_t from_h = h, from_w = w;
        if (channel < 2) {
          from_w -= shift;
        } else if (channel < 5) {
          from_w += shift;
        } else if (channel < 8) {
          from_h -= shift;
        } else {
          from_h += shift;
        }
        const bool inside = from_h >= 0 && from_h < kHeight && from_w >= 0 && from_w < kWidth;
        y[(h * kWidth + w) * kChannels + c] = inside ? x[(from_h * kWidth + from_w) * kChannels + c] : 0;
      }
    }
  }
  return y;
}

}  // namespace

void test_q_shift() {
  const Doubles x = normal(kTokens * kChannels, 1);
  for (const int64_t shift : {1, 2, -1, 9}) {  // of a negative shift is the gradient
    expect_close("q_shift by " + std::to_string(shift), shifted(x, shift), reference(x, shift), 0);
  }
}

}  // namespace wkv::test
