// The bits of bfloat16 and IEEE half numbers in memory, and the software conversion of the latter.
#pragma once
#include <cstdint>

namespace wkv {

struct BFloat16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

}  // namespace wkv

#ifdef WKV_ISA
namespace wkv::WKV_ISA {

inline float half_to_float(Half h) {
  const uint32_t sign = static_cast<uint32_t>(h.bits & 0x8000u) << 16, magnitude = h.bits & 0x7fffu;
  const uint32_t shifted = magnitude << 13;
  float value;
  if (magnitude >= 0x7c00u) {  // inf, NaN
    const uint32_t bits = sign | 0x7f800000u | shifted;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
  }
  // The exponent's bias is 127 instead of 15; the product also normalises denormals.
  __builtin_memcpy(&value, &shifted, sizeof value);
  value *= 0x1p112f;
  return sign ? -value : value;
}

// Round to nearest even; too large becomes inf, NaN stays NaN.
inline Half float_to_half(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;
  } else if (magnitude >= 0x47800000u) {  // 65536
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // below 2^-14: a multiple of 2^-24, which adding 0.5 leaves in the low bits
    float shifted;
    __builtin_memcpy(&shifted, &magnitude, sizeof shifted);
    shifted += 0.5f;
    __builtin_memcpy(&half, &shifted, sizeof half);
    half -= 0x3f000000u;
  } else {
    half = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  }
  return {static_cast<uint16_t>(sign | half)};
}

}  // namespace wkv::WKV_ISA
#endif
