// Rows of channels, of which each lane of a vector holds one: the loop over a range of them, and the parameters that
// there is one of for each. To be included by *_isa.cpp files only.
#pragma once
#include "core/parameter_row.h"
#include "core/simd/rows.h"

namespace wkv::WKV_ISA {

struct WholeVector {
  template <class io_t>
  auto load(const io_t* p) const {
    return load_as(p);
  }
  template <class io_t, class V>
  void store(io_t* p, V v) const {
    store_as(p, v);
  }
};

// The first `count` lanes; the others are loaded as zeros and not stored.
struct PartOfVector {
  int64_t count;
  template <class io_t>
  auto load(const io_t* p) const {
    return load_first(p, count);
  }
  template <class io_t, class V>
  void store(io_t* p, V v) const {
    store_first(p, v, count);
  }
};

// Calls step(c, lanes) for the vectors that start at the channels c = first, ..., last - 1.
template <class acc_t, class Step>
[[gnu::always_inline]] inline void for_channels(int64_t first, int64_t last, const Step& step) {
  constexpr int W = kLanes<acc_t>;
  int64_t c = first;
  for (; c + W <= last; c += W) step(c, WholeVector());
  if (c < last) step(c, PartOfVector{last - c});
}

// The channels of a range to a row of the accumulation type, padded with zeros to whole vectors.
template <class io_t>
inline void load_parameter(const ParameterRow& row, ChannelRange range, accumulate_t<io_t>* to) {
  if (row.is_float) {
    load_float_row(row_of<float>(row.values, range.first), range.last - range.first, to);
  } else {
    load_row(row_of<io_t>(row.values, range.first), range.last - range.first, to);
  }
}

// The gradient of a parameter from the parts [rows, n] that tasks have summed, added in their order.
template <class io_t>
void sum_parameter_gradient(const void* parts, int64_t rows, int64_t n, bool is_float, void* gradient) {
  using acc_t = accumulate_t<io_t>;
  for_channels<acc_t>(0, n, [&](int64_t c, auto lanes) {
    Vec<acc_t> sum = {};
    for (int64_t row = 0; row < rows; ++row) sum += lanes.load(row_of<acc_t>(parts, row * n + c));
    if (!is_float) {
      lanes.store(row_of<io_t>(gradient, c), sum);
    } else {
      for (int64_t i = 0; i < kLanes<acc_t> && c + i < n; ++i) {
        row_of<float>(gradient, c)[i] = static_cast<float>(sum[i]);
      }
    }
  });
}

}  // namespace wkv::WKV_ISA
