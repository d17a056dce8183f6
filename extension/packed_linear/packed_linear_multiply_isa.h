// The products of packed_linear: blocks of a packed matrix times rows of x. To be included by packed_linear_isa.cpp
// only.
#pragma once
#include "core/simd/rows.h"
#include "packed_linear/packed_linear.h"

namespace wkv::WKV_ISA {

// --- weights out of dwords: each lane is a row of the matrix ---

// How many columns a line of weights holds, and what its weights are to be multiplied by besides their scale.
template <PackedFormat kFormat>
struct PackedLine;

template <>
struct PackedLine<PackedFormat::kFloat> {
  static constexpr int kColumns = 1;
  explicit PackedLine(UInt32s dwords) : dwords_(dwords) {}
  template <int kColumn>
  Vec<float> weights() const {
    return reinterpret_cast<Vec<float>>(dwords_);
  }

 private:
  UInt32s dwords_;
};

template <>
struct PackedLine<PackedFormat::kBFloat16> {
  static constexpr int kColumns = 2;
  explicit PackedLine(UInt32s dwords) : dwords_(dwords) {}
  template <int kColumn>
  Vec<float> weights() const {
    return reinterpret_cast<Vec<float>>(kColumn == 0 ? dwords_ << 16 : dwords_ & 0xffff0000u);
  }

 private:
  UInt32s dwords_;
};

// The signed bytes, moved to the upper end: times 2^24.
template <>
struct PackedLine<PackedFormat::kInt8> {
  static constexpr int kColumns = 4;
  static constexpr float kUnit = 0x1p-24f;
  explicit PackedLine(UInt32s dwords) : dwords_(dwords) {}
  template <int kColumn>
  Vec<float> weights() const {
    const UInt32s upper = kColumn == 3 ? dwords_ & 0xff000000u : (dwords_ << (24 - 8 * kColumn)) & 0xff000000u;
    return __builtin_convertvector(reinterpret_cast<Int32s>(upper), Vec<float>);
  }

 private:
  UInt32s dwords_;
};

#if defined(__AVX512F__)
// A vector holds the whole table as fp32, and a permutation looks at the lower four bits of a dword only.
template <>
struct PackedLine<PackedFormat::kInt4> {
  static constexpr int kColumns = 8;
  static constexpr float kUnit = 1;
  explicit PackedLine(UInt32s dwords) : dwords_(dwords) {}
  template <int kColumn>
  Vec<float> weights() const {
    const UInt32s index = dwords_ >> (kColumn % 4 * 8 + kColumn / 4 * 4);
    return reinterpret_cast<Vec<float>>(
        _mm512_maskz_permutexvar_ps(0xffff, reinterpret_cast<__m512i>(index), reinterpret_cast<__m512>(table())));
  }

 private:
  static Vec<float> table() {
    Vec<float> weights = {};
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) weights[i] = kInt4Weights[i];
    return weights;
  }
  UInt32s dwords_;
};
#else
// The table as bytes; from there on it is int8.
template <>
struct PackedLine<PackedFormat::kInt4> {
  static constexpr int kColumns = 8;
  static constexpr float kUnit = PackedLine<PackedFormat::kInt8>::kUnit;
  explicit PackedLine(UInt32s dwords)
      : lower_(weights_at(dwords & 0x0f0f0f0fu)), upper_(weights_at((dwords >> 4) & 0x0f0f0f0fu)) {}
  template <int kColumn>
  Vec<float> weights() const {
    return (kColumn < 4 ? lower_ : upper_).template weights<kColumn % 4>();
  }

 private:
  static PackedLine<PackedFormat::kInt8> weights_at(UInt32s indices) {
#if defined(__AVX2__)
    const __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kInt4Weights)));
    return PackedLine<PackedFormat::kInt8>(
        reinterpret_cast<UInt32s>(_mm256_shuffle_epi8(table, reinterpret_cast<__m256i>(indices))));
#else
    uint8_t bytes[sizeof indices];
    __builtin_memcpy(bytes, &indices, sizeof indices);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(kInt4Weights[byte]);
    __builtin_memcpy(&indices, bytes, sizeof indices);
    return PackedLine<PackedFormat::kInt8>(indices);
#endif
  }
  PackedLine<PackedFormat::kInt8> lower_, upper_;
};
#endif

// --- sums ---

inline constexpr int kPackedVectors = static_cast<int>(kPackedRows) / kLanes<float>;  // of a line

// Of kBlocks blocks and kInputs rows of x.
template <int kBlocks, int kInputs>
struct PackedSums {
  Vec<float> of[kBlocks][kPackedVectors][kInputs] = {};
};

inline UInt32s load_dwords(const char* p) {
  UInt32s v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

// sums += line * x for the columns from kColumn on, x being [kInputs][stride] at the line's first column.
template <int kColumn, PackedFormat kFormat, int kInputs>
[[gnu::always_inline]] inline void add_columns(const PackedLine<kFormat>& line, const float* x, int64_t stride,
                                               Vec<float> (&sums)[kInputs]) {
  if constexpr (kColumn < PackedLine<kFormat>::kColumns) {
    const Vec<float> weights = line.template weights<kColumn>();
#pragma GCC unroll 8
    for (int i = 0; i < kInputs; ++i) sums[i] = fma(broadcast(x[i * stride + kColumn]), weights, sums[i]);
    add_columns<kColumn + 1>(line, x, stride, sums);
  }
}

// A walk along kBlocks neighbouring blocks at once, and some 2 KB ahead of it the call for what comes then: the next
// lines of the same blocks, at their end the first of those that follow.
template <PackedFormat kFormat, int kBlocks, int kInputs>
class PackedProduct {
 public:
  PackedProduct(const PackedBlocks& blocks, const float* x, int64_t stride) : blocks_(blocks), x_(x), stride_(stride) {}

  void operator()(float* sums) {
    const int64_t lines = kFormat == PackedFormat::kInt8 ? blocks_.lines - 1 : blocks_.lines;
    const int64_t near = lines > kLinesAhead ? (lines - kLinesAhead) / kStep * kStep : 0;
    walk(0, near, kLinesAhead * kLineBytes);
    walk(near, lines, kLinesAhead * kLineBytes + (kBlocks - 1) * blocks_.block_bytes);
    if constexpr (kFormat == PackedFormat::kInt8) {
      for_vectors([&](int b, int v) {
        const Vec<float> scale = reinterpret_cast<Vec<float>>(load_dwords(at(b, v, lines)));
        for (int i = 0; i < kInputs; ++i) sums_.of[b][v][i] *= PackedLine<kFormat>::kUnit * scale;
      });
    }
    for_vectors([&](int b, int v) {
      for (int i = 0; i < kInputs; ++i)
        store(sums + i * kPackedSums + b * kPackedRows + v * kLanes<float>, sums_.of[b][v][i]);
    });
  }

 private:
  static constexpr int64_t kLineBytes = kPackedRows * 4, kLinesAhead = 32,
                           kStep = kFormat == PackedFormat::kInt4 ? kInt4Lines : 1;

  const char* at(int b, int v, int64_t line) const {
    return blocks_.first + b * blocks_.block_bytes + line * kLineBytes + v * kVectorBytes;
  }
  template <class Visit>
  [[gnu::always_inline]] static void for_vectors(const Visit& visit) {
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) {
#pragma GCC unroll 4
      for (int v = 0; v < kPackedVectors; ++v) visit(b, v);
    }
  }

  // sums += line * x
  [[gnu::always_inline]] void add_line(int64_t line, int64_t ahead, const float* x,
                                       PackedSums<kBlocks, kInputs>& sums) const {
    for_vectors([&](int b, int v) {
      const char* const dwords = at(b, v, line);
      if (v == 0) __builtin_prefetch(dwords + ahead);
      add_columns<0>(PackedLine<kFormat>(load_dwords(dwords)), x, stride_, sums.of[b][v]);
    });
  }

  void walk(int64_t line, int64_t end, int64_t ahead) {
    if constexpr (kFormat == PackedFormat::kInt4) {
      for (; line < end; line += kStep) {
        for_vectors([&](int b, int v) {
          if (v == 0) __builtin_prefetch(at(b, v, line) + ahead);
        });
        for (int group = 0; group < 2; ++group) {
          PackedSums<kBlocks, kInputs> sums;
          for (int i = 0; i < 4; ++i, x_ += PackedLine<kFormat>::kColumns) {
            add_line(line + 1 + group * 4 + i, ahead, x_, sums);
          }
          for_vectors([&](int b, int v) {
            const PackedLine<PackedFormat::kBFloat16> scales(load_dwords(at(b, v, line)));
            const Vec<float> scale =
                (group == 0 ? scales.template weights<0>() : scales.template weights<1>()) * PackedLine<kFormat>::kUnit;
            for (int i = 0; i < kInputs; ++i) sums_.of[b][v][i] = fma(scale, sums.of[b][v][i], sums_.of[b][v][i]);
          });
        }
      }
    } else {
      PackedSums<kBlocks, kInputs> sums = sums_;
      for (; line < end; ++line, x_ += PackedLine<kFormat>::kColumns) add_line(line, ahead, x_, sums);
      sums_ = sums;
    }
  }

  const PackedBlocks blocks_;
  const float* x_;
  const int64_t stride_;
  PackedSums<kBlocks, kInputs> sums_;
};

template <PackedFormat kFormat, int kInputs>
void multiply_packed_inputs(PackedBlocks blocks, const float* x, int64_t stride, float* sums) {
  constexpr int kTogether = kInputs == 8 ? kPackedBlocks / 2 : kPackedBlocks;  // whose sums the registers hold
  for (; blocks.count >= kTogether; blocks.count -= kTogether) {
    PackedProduct<kFormat, kTogether, kInputs>(blocks, x, stride)(sums);
    blocks.first += kTogether * blocks.block_bytes;
    sums += kTogether * kPackedRows;
  }
  for (; blocks.count > 0; --blocks.count) {
    PackedProduct<kFormat, 1, kInputs>(blocks, x, stride)(sums);
    blocks.first += blocks.block_bytes;
    sums += kPackedRows;
  }
}

template <PackedFormat kFormat>
void multiply_packed(const PackedBlocks& blocks, const float* x, int64_t inputs, int64_t stride, float* sums) {
  switch (inputs) {
    case 1:
      return multiply_packed_inputs<kFormat, 1>(blocks, x, stride, sums);
    case 2:
      return multiply_packed_inputs<kFormat, 2>(blocks, x, stride, sums);
    case 4:
      return multiply_packed_inputs<kFormat, 4>(blocks, x, stride, sums);
    default:
      return multiply_packed_inputs<kFormat, 8>(blocks, x, stride, sums);
  }
}

}  // namespace wkv::WKV_ISA
