// What threads share that go through phases of work together; see core/simd/phases.h.
#pragma once
#include <cstdint>

namespace wkv {

struct alignas(64) Phase {  // in cache lines of its own
  int64_t taken = 0;        // tasks that a thread has begun
  int64_t done = 0;         // ... and ended
};

void yield_thread();

}  // namespace wkv
