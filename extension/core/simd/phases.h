// Work in phases, of which each begins when the one before it is done, within one parallel region: starting a region
// for each would cost more than the small ones take. Whichever thread is free takes the next task, so that it doesn't
// matter how many threads there are, nor whether they run at the same time. To be included by *_isa.cpp files only.
#pragma once
#include "core/phase.h"

namespace wkv::WKV_ISA {

// One thread's way through the phases, which are the same for all threads.
class PhaseWorker {
 public:
  explicit PhaseWorker(Phase* phases) : phase_(phases) {}

  // Calls run(task) for each of 0 ... tasks - 1 that no other thread has taken, and waits for the others' tasks.
  template <class Run>
  void run(int64_t tasks, const Run& run) {
    Phase& phase = *phase_++;
    for (int64_t task; (task = __atomic_fetch_add(&phase.taken, 1, __ATOMIC_RELAXED)) < tasks;) {
      run(task);
      __atomic_fetch_add(&phase.done, 1, __ATOMIC_RELEASE);
    }
    for (int spins = 0; __atomic_load_n(&phase.done, __ATOMIC_ACQUIRE) < tasks; ++spins) {
      if (spins < kMostSpins) {
#ifdef __SSE__
        __builtin_ia32_pause();
#endif
      } else {
        yield_thread();
      }
    }
  }

 private:
  static constexpr int kMostSpins = 1000;  // some 20 microseconds
  Phase* phase_;
};

}  // namespace wkv::WKV_ISA
