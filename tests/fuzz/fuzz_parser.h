// A fuzz target is one parser: whatever the bytes, it gives tensors that lie inside of them or throws wkv::Error.
#pragma once
#include <cstdlib>
#include <cstring>

#include "io/layout.h"
#include "wkv/error.h"
#include "wkv/zoo/tensor_entry.h"

namespace wkv::fuzz {

// Parses a copy on the heap, of which AddressSanitizer knows both ends, and reads every tensor's first and last byte.
template <typename parser_t>
int parse(const uint8_t* data, size_t size, const parser_t& parser) {
  const std::shared_ptr<std::byte[]> bytes(new std::byte[size]);
  if (size > 0) std::memcpy(bytes.get(), data, size);
  try {
    const zoo::TensorSource source = parser(std::span(bytes.get(), size), bytes, "input");
    for (const zoo::TensorEntry& entry : source.entries) {
      const auto extent = zoo::memory_extent(entry.shape, entry.strides);
      if (!extent) std::abort();
      if (*extent == 0) continue;
      volatile std::byte touched = entry.data[0];
      touched = entry.data[*extent * zoo::element_bytes(entry.dtype) - 1];
      static_cast<void>(touched);
    }
  } catch (const Error&) {
  }
  return 0;
}

}  // namespace wkv::fuzz
