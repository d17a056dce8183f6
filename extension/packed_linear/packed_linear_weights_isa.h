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

}  // namespace wkv::WKV_ISA
