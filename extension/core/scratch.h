// Memory that a kernel task works in, aligned to a cache line.
#pragma once
#include <cstdint>
#include <memory>
#include <new>

namespace wkv {

class Scratch {
 public:
  explicit Scratch(int64_t bytes) : memory_(::operator new(static_cast<size_t>(bytes), kAlignment)) {}
  char* get() const { return static_cast<char*>(memory_.get()); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(void* memory) const { ::operator delete(memory, kAlignment); }
  };
  std::unique_ptr<void, Free> memory_;
};

}  // namespace wkv
