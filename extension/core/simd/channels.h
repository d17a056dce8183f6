// Rows of channels, of which each lane of a vector holds one: the loop over a range of them, and the parameters that
// there is one of for each. To be included by *_isa.cpp files only.
#pragma once
#include "core/parameter_row.h"
#include "core/simd/rows.h"

namespace wkv::WKV_ISA {

template <class acc_t>
struct WholeVector {
  static constexpr int64_t count() { return kLanes<acc_t>; }
  template <class io_t>
  auto load(const io_t* p) const {
    return load_as(p);
  }
  template <class io_t, class V>
  void store(io_t* p, V v) const {
    store_as(p, v);
  }
};

// The first lanes; the others are loaded as zeros and not stored.
struct PartOfVector {
  int64_t count() const { return lanes; }
  template <class io_t>
  auto load(const io_t* p) const {
    return load_first(p, lanes);
  }
  template <class io_t, class V>
  void store(io_t* p, V v) const {
    store_first(p, v, lanes);
  }
  int64_t lanes;
};

// Calls step(c, lanes) for the vectors that start at the channels c = first, ..., last - 1.
template <class acc_t, class Step>
[[gnu::always_inline]] inline void for_channels(int64_t first, int64_t last, const Step& step) {
  constexpr int W = kLanes<acc_t>;
  int64_t c = first;
  for (; c + W <= last; c += W) step(c, WholeVector<acc_t>());
  if (c < last) step(c, PartOfVector{last - c});
}

// How many tokens before it is read a row of so many channels is to be asked for, to come in time.
inline int64_t tokens_ahead(int64_t channels) { return (512 + channels - 1) / channels; }

// The vector of a parameter that starts at channel c.
template <class io_t, class Lanes>
inline Vec<accumulate_t<io_t>> load_parameter(const ParameterRow& row, int64_t c, const Lanes& lanes) {
  if constexpr (std::is_same_v<io_t, double>) {
    if (row.is_float) {
      Vec<double> x = {};
      for (int64_t i = 0; i < lanes.count(); ++i) x[i] = row_of<float>(row.values, c)[i];
      return x;
    }
  } else if (row.is_float) {
    return lanes.load(row_of<float>(row.values, c));
  }
  return lanes.load(row_of<io_t>(row.values, c));
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
      for (int64_t i = 0; i < lanes.count(); ++i) {
        row_of<float>(gradient, c)[i] = static_cast<float>(sum[i]);
      }
    }
  });
}

}  // namespace wkv::WKV_ISA
