// Sizes of tensors from strangers' files: every product is checked, every element lies inside its memory.
#pragma once
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace wkv::zoo {

inline constexpr size_t kMaxRank = 8;
inline constexpr size_t kMaxTensors = 65536;  // in one file: bounds what a hostile header can make us allocate

// The number of elements; nothing when a size is negative or the product overflows.
std::optional<int64_t> element_count(std::span<const int64_t> shape);

// The number of elements from the first to the last in memory, both counted; nothing when a stride is negative or it
// overflows.
std::optional<int64_t> memory_extent(std::span<const int64_t> shape, std::span<const int64_t> strides);

std::vector<int64_t> contiguous_strides(std::span<const int64_t> shape);

// The bytes of one element of the dtypes that checkpoints hold; 0 for all others.
int64_t element_bytes(c10::ScalarType dtype);

}  // namespace wkv::zoo
