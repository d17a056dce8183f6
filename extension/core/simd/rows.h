// Rows of tensors in memory, and blocks of vectors that cover a row. To be included by *_isa.cpp files only.
#pragma once
#include <type_traits>

#include "core/simd/vec.h"

namespace wkv::WKV_ISA {

template <class io_t>
const io_t* row_of(const void* tensor, int64_t offset) {
  return static_cast<const io_t*>(tensor) + offset;
}
template <class io_t>
io_t* row_of(void* tensor, int64_t offset) {
  return static_cast<io_t*>(tensor) + offset;
}

// A row of which single values are read: where it is, if it is of the accumulation type, else converted in `scratch`.
template <class io_t, class acc_t>
const acc_t* as_row(const io_t* row, int64_t n, acc_t* scratch) {
  if constexpr (std::is_same_v<io_t, acc_t>) {
    return row;
  } else {
    load_row(row, n, scratch);
    return scratch;
  }
}

// The vector at element i of a row of n, zeros beyond the row; and back.
template <class io_t>
inline Vec<accumulate_t<io_t>> load_part(const io_t* row, int64_t i, int64_t n) {
  return i + kLanes<accumulate_t<io_t>> <= n ? load_as(row + i) : load_first(row + i, n - i);
}
template <class io_t>
inline void store_part(io_t* row, Vec<accumulate_t<io_t>> x, int64_t i, int64_t n) {
  if (i + kLanes<accumulate_t<io_t>> <= n) {
    store_as(row + i, x);
  } else {
    store_first(row + i, x, n - i);
  }
}

template <class acc_t>
void load_float_row(const float* from, int64_t n, acc_t* to) {
  if constexpr (sizeof(acc_t) == 4) {
    load_row(from, n, to);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = from[i];
  }
}

// Calls step(j, number of vectors as an integral_constant) for blocks that together cover the columns; a block is of
// kBlock vectors where there are so many.
template <class acc_t, int kBlock = kVectorBytes == 64 ? 4 : 2, class Step>
inline void for_column_blocks(int64_t columns, const Step& step) {
  constexpr int W = kLanes<acc_t>;
  int64_t j = 0;
  for (; j + kBlock * W <= columns; j += kBlock * W) step(j, std::integral_constant<int, kBlock>());
  if constexpr (kBlock > 2) {
    if (j + 2 * W <= columns) {
      step(j, std::integral_constant<int, 2>());
      j += 2 * W;
    }
  }
  if (j < columns) step(j, std::integral_constant<int, 1>());
}

}  // namespace wkv::WKV_ISA
