// Work divided among PyTorch's threads.
#pragma once
#include <torch/csrc/stable/ops.h>

#include <cstdint>
#ifdef __SSE__
#include <immintrin.h>
#endif

namespace wkv {

// While it lives, results of this thread that are too small for a normal number become zero. What decays fast ends
// among such numbers, and x86 processors take a hundred times as long for each.
class FlushTinyResults {
 public:
  FlushTinyResults(const FlushTinyResults&) = delete;
  FlushTinyResults& operator=(const FlushTinyResults&) = delete;
#ifdef __SSE__
  FlushTinyResults() : before_(_mm_getcsr()) { _mm_setcsr(before_ | _MM_FLUSH_ZERO_ON); }
  ~FlushTinyResults() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#else
  FlushTinyResults() {}
#endif
};

// Calls run(first, last) for parts of [begin, end) of at least `grain` each.
template <class Run>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const Run& run) {
  torch::stable::parallel_for(begin, end, grain, [&run](int64_t first, int64_t last) {
    const FlushTinyResults guard;
    run(first, last);
  });
}

}  // namespace wkv
