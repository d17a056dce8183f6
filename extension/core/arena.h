// Cuts one block of scratch memory into aligned arrays; with no block it only counts, so that one function both states
// the need and makes the cuts.
#pragma once
#include <cstdint>

namespace wkv::WKV_ISA {

class Arena {
 public:
  explicit Arena(void* block) : next_(static_cast<char*>(block)) {}

  template <class T>
  T* take(int64_t count) {
    const int64_t bytes = (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    T* array = reinterpret_cast<T*>(next_);
    used_ += bytes;
    if (next_) next_ += bytes;
    return array;
  }
  int64_t used() const { return used_; }

 private:
  char* next_;
  int64_t used_ = 0;
};

}  // namespace wkv::WKV_ISA
