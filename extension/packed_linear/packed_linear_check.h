// What _pack_linear, _unpack_linear and _packed_linear refuse, for their kernels and their meta functions; and what the
// former can only know where they can read a packed matrix: whether it is one.
#pragma once
#include <optional>

#include "core/linear_check.h"
#include "packed_linear/packed_linear.h"

namespace wkv {

inline PackedFormat packed_format(const char* op, const std::string& name) {
  for (int i = 0; i < kPackedFormats; ++i) {
    if (name == kPackedFormatNames[i]) return static_cast<PackedFormat>(i);
  }
  fail(op, ": format must be int8 or int4, got \"", name, '"');
}

template <class Tensor>
void check_pack_linear(const char* op, const Tensor& weight) {
  const Check<Tensor> check{op};
  check.dimensions("weight", weight, "[N, K]", 2);
  check.dtype("weight", weight, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half});
}

template <class Tensor>
void check_packed(const char* op, const Tensor& packed) {
  const Check<Tensor> check{op};
  check.dimensions("packed", packed, "[N + 1, row bytes]", 2);
  check.dtype("packed", packed, {ScalarType::Byte});
  if (sizes_of(packed)[0] < 1) fail(op, ": packed must have at least one row, got shape ", to_text(sizes_of(packed)));
}

template <class Tensor>
void check_packed_linear(const char* op, const Tensor& x, const Tensor& packed, const std::optional<Tensor>& bias) {
  check_packed(op, packed);
  // The columns are in the matrix's header, which can't be read here.
  check_linear_inputs(op, x, "packed", packed, nullptr, sizes_of(packed)[0] - 1, bias);
}

// The header of a packed matrix [rows + 1, row_bytes], in its last row, which may come from anywhere: what it says of
// the layout is what the shape says.
inline PackedHeader packed_header(const char* op, const void* last_row, int64_t rows, int64_t row_bytes) {
  PackedHeader header = {};
  if (row_bytes >= static_cast<int64_t>(sizeof header)) std::memcpy(&header, last_row, sizeof header);
  if (header.magic != PackedHeader::kMagic) fail(op, ": packed is not a matrix that _pack_linear has made");
  const auto format = static_cast<int64_t>(header.format);
  constexpr int64_t kMostColumns = int64_t{1} << 40;  // beyond any memory, and far from an overflow
  if (format < 0 || format >= kPackedFormats || header.columns < 0 || header.columns > kMostColumns ||
      header.rows != rows || packed_row_bytes(header.format, header.columns) != row_bytes) {
    fail(op, ": packed is damaged: its header tells of [", header.rows, ", ", header.columns, "] in format ", format,
         ", which is not what a tensor of shape [", rows + 1, ", ", row_bytes, "] holds");
  }
  return header;
}

}  // namespace wkv
