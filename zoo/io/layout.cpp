#include "io/layout.h"

#include <algorithm>

namespace wkv::zoo {

std::optional<int64_t> element_count(std::span<const int64_t> shape) {
  int64_t count = 1;
  bool overflow = false;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    overflow |= __builtin_mul_overflow(count, std::max<int64_t>(size, 1), &count);
  }
  if (overflow) return std::nullopt;  // also where another size is 0: no honest file has such a shape
  return std::ranges::find(shape, 0) == shape.end() ? count : 0;
}

std::optional<int64_t> memory_extent(std::span<const int64_t> shape, std::span<const int64_t> strides) {
  if (shape.size() != strides.size()) return std::nullopt;
  int64_t last = 0;
  bool empty = false;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] < 0 || strides[i] < 0) return std::nullopt;
    empty |= shape[i] == 0;
    int64_t step = 0;
    if (__builtin_mul_overflow(std::max<int64_t>(shape[i] - 1, 0), strides[i], &step)) return std::nullopt;
    if (__builtin_add_overflow(last, step, &last)) return std::nullopt;
  }
  if (empty) return 0;
  return last == INT64_MAX ? std::nullopt : std::optional(last + 1);
}

std::vector<int64_t> contiguous_strides(std::span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0; stride *= std::max<int64_t>(shape[i], 1)) strides[i] = stride;
  return strides;
}

int64_t element_bytes(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::ScalarType::Double:
    case c10::ScalarType::Long:
      return 8;
    case c10::ScalarType::Float:
    case c10::ScalarType::Int:
      return 4;
    case c10::ScalarType::Half:
    case c10::ScalarType::BFloat16:
    case c10::ScalarType::Short:
    case c10::ScalarType::UInt16:
      return 2;
    case c10::ScalarType::Char:
    case c10::ScalarType::Byte:
    case c10::ScalarType::Bool:
      return 1;
    default:
      return 0;
  }
}

}  // namespace wkv::zoo
