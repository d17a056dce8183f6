// Weights out of the dwords of a line, of which each lane is a row of the matrix. To be included by *_isa.h files only.
#pragma once
#include "core/simd/rows.h"
#include "packed_linear/packed_linear.h"

namespace wkv::WKV_ISA {

inline UInt32s load_dwords(const char* p) {
  UInt32s v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

// The two bf16 numbers of each dword.
inline Vec<float> lower_bfloat16(UInt32s dwords) { return reinterpret_cast<Vec<float>>(dwords << 16); }
inline Vec<float> upper_bfloat16(UInt32s dwords) { return reinterpret_cast<Vec<float>>(dwords & 0xffff0000u); }

// The signed byte number kByte of each dword, times 2^24: moved to the upper end, it needs no extension of its sign.
template <int kByte>
inline Vec<float> byte_as_float(UInt32s dwords) {
  const UInt32s upper = kByte == 3 ? dwords : dwords << (24 - 8 * kByte);
  return __builtin_convertvector(reinterpret_cast<Int32s>(upper & 0xff000000u), Vec<float>);
}
inline constexpr float kByteUnit = 0x1p-24f;

// In place of each byte, an index, the entry of a table of 16.
inline UInt32s look_up(const uint8_t* table, UInt32s indices) {
#if defined(__AVX512F__)
  const __m512i entries =
      _mm512_maskz_broadcast_i32x4(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return reinterpret_cast<UInt32s>(_mm512_shuffle_epi8(entries, reinterpret_cast<__m512i>(indices)));
#elif defined(__AVX2__)
  const __m256i entries = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return reinterpret_cast<UInt32s>(_mm256_shuffle_epi8(entries, reinterpret_cast<__m256i>(indices)));
#else
  uint8_t bytes[sizeof indices];
  __builtin_memcpy(bytes, &indices, sizeof indices);
  for (uint8_t& byte : bytes) byte = table[byte];
  __builtin_memcpy(&indices, bytes, sizeof indices);
  return indices;
#endif
}

// The weights of int4 in the order of the columns: bytes for the lower halves of the bytes of the dwords, and for the
// upper ones. kBias is added to each.
struct Int4Bytes {
  UInt32s lower, upper;
};
template <int kBias>
inline Int4Bytes int4_bytes(UInt32s dwords) {
  static constexpr struct Table {
    constexpr Table() {
      for (int i = 0; i < 16; ++i) bytes[i] = static_cast<uint8_t>(kInt4Weights[i] + kBias);
    }
    uint8_t bytes[16] = {};
  } kTable;
  return {look_up(kTable.bytes, dwords & 0x0f0f0f0fu), look_up(kTable.bytes, (dwords >> 4) & 0x0f0f0f0fu)};
}

// A line of weights as fp32: weights<k>() are those of its column k, divided by kUnit and the scale.
template <PackedFormat kFormat>
struct FloatLine;

template <>
struct FloatLine<PackedFormat::kFloat> {
  static constexpr int kColumns = 1;
  explicit FloatLine(UInt32s dwords) : dwords_(dwords) {}
  template <int kColumn>
  Vec<float> weights() const {
    return reinterpret_cast<Vec<float>>(dwords_);
  }

 private:
  UInt32s dwords_;
};

template <>
struct FloatLine<PackedFormat::kBFloat16> {
  static constexpr int kColumns = 2;
  explicit FloatLine(UInt32s dwords) : dwords_(dwords) {}
  template <int kColumn>
  Vec<float> weights() const {
    return kColumn == 0 ? lower_bfloat16(dwords_) : upper_bfloat16(dwords_);
  }

 private:
  UInt32s dwords_;
};

template <>
struct FloatLine<PackedFormat::kInt8> {
  static constexpr int kColumns = 4;
  static constexpr float kUnit = kByteUnit;
  explicit FloatLine(UInt32s dwords) : dwords_(dwords) {}
  template <int kColumn>
  Vec<float> weights() const {
    return byte_as_float<kColumn>(dwords_);
  }

 private:
  UInt32s dwords_;
};

#if defined(__AVX512F__)
// A vector holds the whole table as fp32, and a permutation looks at the lower four bits of a dword only.
template <>
struct FloatLine<PackedFormat::kInt4> {
  static constexpr int kColumns = 8;
  static constexpr float kUnit = 1;
  explicit FloatLine(UInt32s dwords) : dwords_(dwords) {}
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
template <>
struct FloatLine<PackedFormat::kInt4> {
  static constexpr int kColumns = 8;
  static constexpr float kUnit = kByteUnit;
  explicit FloatLine(UInt32s dwords) : bytes_(int4_bytes<0>(dwords)) {}
  template <int kColumn>
  Vec<float> weights() const {
    return byte_as_float<kColumn % 4>(kColumn < 4 ? bytes_.lower : bytes_.upper);
  }

 private:
  Int4Bytes bytes_;
};
#endif

}  // namespace wkv::WKV_ISA
