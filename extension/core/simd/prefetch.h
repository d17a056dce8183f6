// Rows that are soon to be read or written, asked for one by one while a sweep over a state goes on: rows of a head are
// too far apart for the hardware to foresee, and all of them at once are more lines than a core can wait for. To be
// included by *_isa.cpp files only.
#pragma once
#include "core/simd/rows.h"

namespace wkv::WKV_ISA {

// kRows rows, one at every kStepsBetween-th step of the sweep.
template <int kRows, int kStepsBetween>
class RowPrefetch {
 public:
  [[gnu::always_inline]] void add(const void* tensor, int64_t offset, int64_t bytes) {
    first_[count_] = static_cast<const char*>(tensor) + offset;
    bytes_[count_++] = bytes;
  }
  [[gnu::always_inline]] void operator()(int64_t step) const {
    if (step % kStepsBetween == 0 && step / kStepsBetween < kRows) row(step / kStepsBetween);
  }
  // Those that a sweep of so few steps doesn't come to.
  [[gnu::always_inline]] void rest(int64_t steps) const {
    for (int64_t n = (steps + kStepsBetween - 1) / kStepsBetween; n < kRows; ++n) row(n);
  }

 private:
  [[gnu::always_inline]] void row(int64_t n) const { prefetch_row(first_[n], bytes_[n]); }

  const char* first_[kRows];
  int64_t bytes_[kRows];
  int64_t count_ = 0;
};

struct NoPrefetch {
  void operator()(int64_t) const {}
};

}  // namespace wkv::WKV_ISA
