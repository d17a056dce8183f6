#include "core/sequences.h"

#include <ATen/Functions.h>

namespace wkv::models {

Sequences Sequences::rows(int64_t batch) {
  Sequences sequences;
  sequences.count = batch;
  return sequences;
}

Sequences Sequences::packed(const at::Tensor& cu_seqlens, at::Device device) {
  Sequences sequences;
  const int64_t count = cu_seqlens.size(0) - 1;
  const auto* bounds = cu_seqlens.const_data_ptr<int64_t>();
  sequences.count = count;
  sequences.cu_seqlens = cu_seqlens;
  // Token t stands in row S + t; its predecessor is the row before, and a first token's is its sequence's state.
  at::Tensor previous = at::arange(count - 1, count - 1 + bounds[count], at::kLong);
  at::Tensor last = at::empty({count}, at::kLong);
  auto* previous_row = previous.mutable_data_ptr<int64_t>();
  auto* last_row = last.mutable_data_ptr<int64_t>();
  for (int64_t s = 0; s < count; ++s) {
    const bool any = bounds[s] < bounds[s + 1];
    if (any) previous_row[bounds[s]] = s;
    last_row[s] = any ? count + bounds[s + 1] - 1 : s;
  }
  sequences.previous = previous.to(device);
  sequences.last = last.to(device);
  return sequences;
}

Sequences Sequences::in_slots(const at::Tensor& slots) {
  Sequences sequences;
  sequences.count = slots.size(0);
  sequences.slots = slots;
  return sequences;
}

at::Tensor Sequences::read(const at::Tensor& entry) const { return slots ? entry.index_select(0, *slots) : entry; }

void Sequences::write(at::Tensor& entry, const at::Tensor& rows) const {
  if (slots) {
    entry.index_copy_(0, *slots, rows.to(entry.scalar_type()));
  } else {
    entry = rows;
  }
}

}  // namespace wkv::models
