// Numbers and memory as kernels are given them, of any dtype that they have.
#pragma once
#include <cstdint>
#include <vector>

#include "core/io_type.h"

namespace wkv::test {

using Doubles = std::vector<double>;

Doubles normal(int64_t n, double scale, double mean = 0);

// Numbers as a kernel has them in memory.
class Array {
 public:
  Array(IoType type, int64_t size);           // NaNs: a kernel is to write all of them
  Array(IoType type, const Doubles& values);  // rounded

  IoType type() const { return type_; }
  bool is_float() const { return type_ == IoType::kFloat; }
  int64_t size() const;
  void* at(int64_t i) { return bytes_.data() + i * element_bytes(); }
  const void* at(int64_t i) const { return bytes_.data() + i * element_bytes(); }
  operator void*() { return bytes_.data(); }
  operator const void*() const { return bytes_.data(); }
  Doubles values() const;

 private:
  int64_t element_bytes() const;
  IoType type_;
  std::vector<char> bytes_;
};
using Arrays = std::vector<Array>;

inline constexpr IoType kAllTypes[kIoTypes] = {IoType::kFloat, IoType::kDouble, IoType::kBFloat16, IoType::kHalf};
inline IoType accumulation_type(IoType io) { return io == IoType::kDouble ? io : IoType::kFloat; }

// Memory that a kernel works in, aligned as it asks for; full of NaNs, for no kernel may rely on what it finds.
class Memory {
 public:
  explicit Memory(int64_t bytes);
  operator void*() { return lines_.data(); }

 private:
  struct alignas(64) Line {
    char bytes[64];
  };
  std::vector<Line> lines_;
};

}  // namespace wkv::test
