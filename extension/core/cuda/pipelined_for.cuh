// A loop of a thread whose loads are some steps ahead.
#pragma once
#include "core/cuda/platform.cuh"

namespace wkv::cuda {

// Calls step(i, load(i)) for i = 0, ..., count - 1. What `load` returns should be as it lies in memory: the first use
// waits for it. Steps are unrolled without branches, so that the exps of one overlap with those of the next.
template <class Load, class Step>
__device__ inline void pipelined_for(int64_t count, const Load& load, const Step& step) {
  constexpr int kAhead = 8;
  using Item = decltype(load(count));
  Item now[kAhead], next[kAhead];
  const auto load_from = [&](int64_t first, Item(&items)[kAhead]) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) items[i] = first + i < count ? load(first + i) : Item{};
  };
  load_from(0, now);
  int64_t done = 0;
  for (; done + kAhead <= count; done += kAhead) {
    load_from(done + kAhead, next);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) step(done + i, now[i]);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) now[i] = next[i];
  }
#pragma unroll
  for (int i = 0; i < kAhead - 1; ++i) {
    if (done + i < count) step(done + i, now[i]);
  }
}

}  // namespace wkv::cuda
