// Numbers from vectors. To be included by *_isa.cpp files only.
#pragma once
#include "core/simd/vec.h"

namespace wkv::WKV_ISA {

template <class acc_t>
inline acc_t sum_of_lanes(Vec<acc_t> x) {
  acc_t sum = 0;
  for (int i = 0; i < kLanes<acc_t>; ++i) sum += x[i];
  return sum;
}

inline float square_root(float x) { return __builtin_sqrtf(x); }
inline double square_root(double x) { return __builtin_sqrt(x); }

}  // namespace wkv::WKV_ISA
