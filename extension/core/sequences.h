// The sequences of a batch: B rows of T tokens, or what cu_seqlens packs into one row.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "core/check.h"
#include "core/stable.h"

namespace wkv {

struct Sequence {
  int64_t first_token, length;  // in the [B * T] tokens
};

// Refuses a cu_seqlens that does not start at 0, decreases, or does not end at T.
inline std::vector<Sequence> packed_sequences(const char* op, const Tensor& cu_seqlens, int64_t tokens) {
  const Tensor bounds = as_contiguous(cu_seqlens);
  const bool wide = bounds.scalar_type() == ScalarType::Long;
  const auto bound = [&](int64_t i) -> int64_t {
    return wide ? bounds.const_data_ptr<int64_t>()[i] : bounds.const_data_ptr<int32_t>()[i];
  };
  const int64_t count = bounds.size(0) - 1;
  if (bound(0) != 0) fail(op, ": cu_seqlens must start at 0, got ", bound(0));
  if (bound(count) != tokens) fail(op, ": cu_seqlens must end at T = ", tokens, ", got ", bound(count));
  std::vector<Sequence> sequences;
  for (int64_t i = 0; i < count; ++i) {
    if (bound(i + 1) < bound(i)) {
      fail(op, ": cu_seqlens must not decrease, got ", bound(i), " before ", bound(i + 1), " at entry ", i + 1);
    }
    sequences.push_back({bound(i), bound(i + 1) - bound(i)});
  }
  return sequences;
}

inline std::vector<Sequence> sequences_of(const char* op, int64_t batch, int64_t time,
                                          const std::optional<Tensor>& cu_seqlens) {
  if (cu_seqlens) return packed_sequences(op, *cu_seqlens, time);
  std::vector<Sequence> sequences(static_cast<size_t>(batch));
  for (int64_t i = 0; i < batch; ++i) sequences[i] = {i * time, time};
  return sequences;
}

}  // namespace wkv
