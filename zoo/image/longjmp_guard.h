// Calls of a C library that reports errors by longjmp: no exception passes through the library's frames, no jump passes
// over a destructor.
#pragma once
#include <csetjmp>

namespace wkv::zoo {

class LongjmpGuard {
 public:
  // Runs `calls`, whose frames must hold nothing with a destructor. False if one of them failed.
  template <typename calls_t>
  bool run(const calls_t& calls) {
    if (setjmp(target_) != 0) return false;
    calls();
    return true;
  }
  // For the library's error handler, and only during run.
  [[noreturn]] void fail() { std::longjmp(target_, 1); }

 private:
  std::jmp_buf target_;
};

}  // namespace wkv::zoo
