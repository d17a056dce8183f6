// Layouts of a batch: their checks, and padded rows as packed ones, so that models know one form only.
#pragma once
#include <string>

#include "wkv/models/language_model.h"

namespace wkv::models {

// Throw wkv::Error for a layout, or slots of a pool with so many rows, that doesn't fit the tokens; of slots that are
// not on the CPU the values are not looked at. model: for messages.
void check_layout(const std::string& model, const at::Tensor& tokens, const SequenceLayout& layout);
void check_slots(const std::string& model, const at::Tensor& slots, int64_t tokens, int64_t pool_rows);

// The positions of [B, T] that a mask reads, as one packed row [1, N].
struct PackedRows {
  at::Tensor positions;   // int64 [N], into [B * T]
  at::Tensor cu_seqlens;  // int64 [B + 1], on the CPU
  std::vector<int64_t> sizes;

  at::Tensor pick(const at::Tensor& rows) const;      // [B, T] to [1, N]
  at::Tensor spread(const at::Tensor& packed) const;  // [1, N, C] to [B, T, C], zeros where nothing is read
};
PackedRows pack_rows(const at::Tensor& tokens, const at::Tensor& attention_mask);

// Of each row of values [B, T, C] the last one that the mask (undefined: all) reads; `otherwise` [B, C] for a row
// without.
at::Tensor last_values(const at::Tensor& values, const at::Tensor& attention_mask, const at::Tensor& otherwise);

}  // namespace wkv::models
