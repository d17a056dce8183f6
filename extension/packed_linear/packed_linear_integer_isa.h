// The products of packed_linear with x in bytes: what each group of columns sums is an integer, exact and so the same
// on every machine. To be included by packed_linear_isa.cpp only.
#pragma once
#include "packed_linear/packed_linear_walk_isa.h"

namespace wkv::WKV_ISA {

// --- x in bytes ---

// Groups of fp32 x, whose number is a multiple of the group's. A group that is not finite gets a NaN for its scale.
inline void quantize_groups(const float* x, int64_t count, PackedGroup* groups) {
  constexpr int W = kLanes<float>;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  typedef int8_t Bytes __attribute__((vector_size(W)));
  for (; count > 0; count -= kPackedGroup, x += kPackedGroup, ++groups) {
    float largest = 0, not_finite = 0;
    for (int i = 0; i < kPackedGroup; ++i) {
      const float magnitude = __builtin_fabsf(x[i]);
      largest = largest < magnitude ? magnitude : largest;
      not_finite += x[i] * 0;
    }
    const float inverse = largest > 0x1p-120f ? 127 / largest : 0;
    int32_t sum = 0;
    for (int i = 0; i < kPackedGroup; i += W) {
      const Vec<float> shifted = fma(load(x + i), broadcast(inverse), broadcast(kRound));
      const Int32s integers = reinterpret_cast<Int32s>(shifted) - 0x4b400000;  // the bits of kRound
      const Bytes bytes = __builtin_convertvector(integers, Bytes);
      __builtin_memcpy(groups->x + i, &bytes, sizeof bytes);
      for (int lane = 0; lane < W; ++lane) sum += bytes[lane];
    }
    groups->scale = largest / 127 + not_finite;
    groups->sum = sum;
  }
}

// --- sums of products of bytes ---

// What is added to weights, whose bytes the instruction takes as unsigned ones.
#if defined(__AVX512F__)
inline constexpr int kWeightBias = 128;
#else
inline constexpr int kWeightBias = 0;
#endif

// The bytes of weights between -127 and 127, plus the bias.
inline UInt32s biased_bytes(UInt32s weights) { return kWeightBias ? weights ^ 0x80808080u : weights; }

// sums + the sums of the four products in each dword, of weights with the bias and of x.
inline Int32s add_products(UInt32s weights, UInt32s x, Int32s sums) {
#if defined(__AVX512F__)
  return reinterpret_cast<Int32s>(_mm512_dpbusd_epi32(
      reinterpret_cast<__m512i>(sums), reinterpret_cast<__m512i>(weights), reinterpret_cast<__m512i>(x)));
#elif defined(__AVX2__)
  const auto bytes = reinterpret_cast<__m256i>(x);
  const __m256i pairs =  // at most 2 * 127 * 127: no sum is cut off
      _mm256_maddubs_epi16(_mm256_abs_epi8(bytes), _mm256_sign_epi8(reinterpret_cast<__m256i>(weights), bytes));
  return sums + reinterpret_cast<Int32s>(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#else
  typedef int16_t Words __attribute__((vector_size(kVectorBytes)));
  const auto w = reinterpret_cast<Words>(weights), y = reinterpret_cast<Words>(x);
  const Words pairs = ((w << 8) >> 8) * ((y << 8) >> 8) + (w >> 8) * (y >> 8);  // no sum is beyond 16 bits
  const auto dwords = reinterpret_cast<Int32s>(pairs);
  return sums + ((dwords << 16) >> 16) + (dwords >> 16);
#endif
}

inline UInt32s broadcast_dword(const int8_t* bytes) {
  uint32_t dword;
  __builtin_memcpy(&dword, bytes, sizeof dword);
  return UInt32s{} + dword;
}

template <PackedFormat kFormat, int kBlocks, int kInputs>
class IntegerProduct {
 public:
  static constexpr bool kInt4 = kFormat == PackedFormat::kInt4;
  static constexpr int kLineColumns = kInt4 ? 8 : 4, kGroupLines = kPackedGroup / kLineColumns;
  static constexpr int64_t kStep = kInt4 ? kInt4Lines : kGroupLines;

  IntegerProduct(const PackedBlocks& blocks, const PackedInputs& x)
      : blocks_(blocks), x_(x.groups), stride_(x.stride) {}

  void multiply(float* sums) {
    walk_blocks<kBlocks>(blocks_, lines_, *this);
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) {
#pragma GCC unroll 4
      for (int v = 0; v < kPackedVectors; ++v) {
        Vec<float> scale = broadcast(1.0f);
        if constexpr (!kInt4) scale = reinterpret_cast<Vec<float>>(load_dwords(line_of(blocks_, b, v, lines_)));
#pragma GCC unroll 8
        for (int i = 0; i < kInputs; ++i) {
          store(sums + i * kPackedSums + b * kPackedRows + v * kLanes<float>, scale * sums_.of[b][v][i]);
        }
      }
    }
  }

  [[gnu::always_inline]] void step(int64_t line, int64_t ahead) {
    if constexpr (kInt4) {
#pragma GCC unroll 4
      for (int b = 0; b < kBlocks; ++b) __builtin_prefetch(line_of(blocks_, b, 0, line) + ahead);
      add_group(line + 1, kGroupLines, ahead, [&](int b, int v) { return lower_bfloat16(dwords(b, v, line)); });
      add_group(line + 1 + kGroupLines, kGroupLines, ahead,
                [&](int b, int v) { return upper_bfloat16(dwords(b, v, line)); });
    } else {
      const int64_t left = lines_ - line;
      add_group(line, left < kGroupLines ? left : kGroupLines, ahead, [](int, int) { return broadcast(1.0f); });
    }
  }

 private:
  UInt32s dwords(int b, int v, int64_t line) const { return load_dwords(line_of(blocks_, b, v, line)); }

  template <class ScaleOf>
  [[gnu::always_inline]] void add_group(int64_t line, int64_t count, int64_t ahead, const ScaleOf& scale_of) {
    PackedSums<Int32s, kBlocks, kInputs> sums;
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) {
#pragma GCC unroll 4
      for (int v = 0; v < kPackedVectors; ++v) {
#pragma GCC unroll 8
        for (int i = 0; i < kInputs; ++i) sums.of[b][v][i] = Int32s{} - kWeightBias * x_[i * stride_].sum;
      }
    }
    for (int64_t l = 0; l < count; ++l) add_line(line + l, ahead, l * kLineColumns, sums);
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) {
#pragma GCC unroll 4
      for (int v = 0; v < kPackedVectors; ++v) {
        const Vec<float> scale = scale_of(b, v);
#pragma GCC unroll 8
        for (int i = 0; i < kInputs; ++i) {
          const Vec<float> sum = __builtin_convertvector(sums.of[b][v][i], Vec<float>) * x_[i * stride_].scale;
          sums_.of[b][v][i] = fma(scale, sum, sums_.of[b][v][i]);
        }
      }
    }
    ++x_;
  }

  // The line that starts at a column of the group.
  [[gnu::always_inline]] void add_line(int64_t line, int64_t ahead, int64_t column,
                                       PackedSums<Int32s, kBlocks, kInputs>& sums) const {
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) {
      __builtin_prefetch(line_of(blocks_, b, 0, line) + ahead);
#pragma GCC unroll 4
      for (int v = 0; v < kPackedVectors; ++v) {
        if constexpr (kInt4) {
          const Int4Bytes weights = int4_bytes<kWeightBias>(dwords(b, v, line));
          add_bytes(weights.lower, column, sums.of[b][v]);
          add_bytes(weights.upper, column + 4, sums.of[b][v]);
        } else {
          add_bytes(biased_bytes(dwords(b, v, line)), column, sums.of[b][v]);
        }
      }
    }
  }
  [[gnu::always_inline]] void add_bytes(UInt32s weights, int64_t column, Int32s (&sums)[kInputs]) const {
#pragma GCC unroll 8
    for (int i = 0; i < kInputs; ++i) {
      sums[i] = add_products(weights, broadcast_dword(x_[i * stride_].x + column), sums[i]);
    }
  }

  const PackedBlocks blocks_;
  const PackedGroup* x_;
  const int64_t stride_;
  const int64_t lines_ = kInt4 ? blocks_.lines : blocks_.lines - 1;  // of weights
  PackedSums<Vec<float>, kBlocks, kInputs> sums_;
};

}  // namespace wkv::WKV_ISA
