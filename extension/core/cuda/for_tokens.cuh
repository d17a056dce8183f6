// A thread's walk through tokens, whose loads are some tokens ahead.
#pragma once
#include "core/cuda/platform.cuh"

namespace wkv::cuda {

// Calls step(t, load(t)) for the tokens t = 0, ..., count - 1. What `load` returns should be as it lies in memory: the
// first use waits for it. Steps are unrolled without branches, so that the exps of one overlap with those of the next.
template <class Load, class Step>
__device__ inline void for_tokens(int64_t count, const Load& load, const Step& step) {
  constexpr int kAhead = 8;
  using Token = decltype(load(count));
  Token now[kAhead], next[kAhead];
  const auto load_from = [&](int64_t first, Token(&tokens)[kAhead]) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) tokens[i] = first + i < count ? load(first + i) : Token{};
  };
  load_from(0, now);
  int64_t t = 0;
  for (; t + kAhead <= count; t += kAhead) {
    load_from(t + kAhead, next);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) step(t + i, now[i]);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) now[i] = next[i];
  }
#pragma unroll
  for (int i = 0; i < kAhead - 1; ++i) {
    if (t + i < count) step(t + i, now[i]);
  }
}

}  // namespace wkv::cuda
