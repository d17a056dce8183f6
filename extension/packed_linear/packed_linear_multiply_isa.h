// The products of packed_linear with x as it is: weights become fp32. To be included by packed_linear_isa.cpp only.
#pragma once
#include "packed_linear/packed_linear_walk_isa.h"

namespace wkv::WKV_ISA {

// sums += line * x for the columns from kColumn on, x being [kInputs][stride] at the line's first column.
template <int kColumn, class Line, int kInputs>
[[gnu::always_inline]] inline void add_columns(const Line& line, const float* x, int64_t stride,
                                               Vec<float> (&sums)[kInputs]) {
  if constexpr (kColumn < Line::kColumns) {
    const Vec<float> weights = line.template weights<kColumn>();
#pragma GCC unroll 8
    for (int i = 0; i < kInputs; ++i) sums[i] = fma(broadcast(x[i * stride + kColumn]), weights, sums[i]);
    add_columns<kColumn + 1>(line, x, stride, sums);
  }
}

template <PackedFormat kFormat, int kBlocks, int kInputs>
class FloatProduct {
 public:
  using Line = FloatLine<kFormat>;
  using Sums = PackedSums<Vec<float>, kBlocks, kInputs>;
  static constexpr int64_t kStep = kFormat == PackedFormat::kInt4 ? kInt4Lines : 1;

  FloatProduct(const PackedBlocks& blocks, const PackedInputs& x) : blocks_(blocks), x_(x.rows), stride_(x.stride) {}

  void multiply(float* sums) {
    const int64_t lines = kFormat == PackedFormat::kInt8 ? blocks_.lines - 1 : blocks_.lines;
    walk_blocks<kBlocks>(blocks_, lines, *this);
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) {
#pragma GCC unroll 4
      for (int v = 0; v < kPackedVectors; ++v) {
        Vec<float> scale = broadcast(1.0f);
        if constexpr (kFormat == PackedFormat::kInt8) {
          scale = reinterpret_cast<Vec<float>>(load_dwords(line_of(blocks_, b, v, lines))) * Line::kUnit;
        }
#pragma GCC unroll 8
        for (int i = 0; i < kInputs; ++i) {
          store(sums + i * kPackedSums + b * kPackedRows + v * kLanes<float>, scale * sums_.of[b][v][i]);
        }
      }
    }
  }

  [[gnu::always_inline]] void step(int64_t line, int64_t ahead) {
    if constexpr (kFormat != PackedFormat::kInt4) {
      add_line(line, ahead, sums_);
    } else {
#pragma GCC unroll 4
      for (int b = 0; b < kBlocks; ++b) __builtin_prefetch(line_of(blocks_, b, 0, line) + ahead);
      add_int4_group(line, ahead, 0);
      add_int4_group(line, ahead, 1);
    }
  }

 private:
  [[gnu::always_inline]] void add_line(int64_t line, int64_t ahead, Sums& sums) {
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) {
      __builtin_prefetch(line_of(blocks_, b, 0, line) + ahead);
#pragma GCC unroll 4
      for (int v = 0; v < kPackedVectors; ++v) {
        add_columns<0>(Line(load_dwords(line_of(blocks_, b, v, line))), x_, stride_, sums.of[b][v]);
      }
    }
    x_ += Line::kColumns;
  }

  // The first or the second half of the lines that follow the line of their scales.
  [[gnu::always_inline]] void add_int4_group(int64_t line, int64_t ahead, int half) {
    Sums sums;
    for (int i = 1; i <= kPackedGroup / 8; ++i) add_line(line + half * (kPackedGroup / 8) + i, ahead, sums);
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) {
#pragma GCC unroll 4
      for (int v = 0; v < kPackedVectors; ++v) {
        const UInt32s scales = load_dwords(line_of(blocks_, b, v, line));
        const Vec<float> scale = (half == 0 ? lower_bfloat16(scales) : upper_bfloat16(scales)) * Line::kUnit;
#pragma GCC unroll 8
        for (int i = 0; i < kInputs; ++i) sums_.of[b][v][i] = fma(scale, sums.of[b][v][i], sums_.of[b][v][i]);
      }
    }
  }

  const PackedBlocks blocks_;
  const float* x_;
  const int64_t stride_;
  Sums sums_;
};

}  // namespace wkv::WKV_ISA
