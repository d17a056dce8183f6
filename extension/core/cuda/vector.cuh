// Neighbouring values that a thread loads and stores at once.
#pragma once
#include "core/cuda/platform.cuh"

namespace wkv::cuda {

template <class io_t, int kWidth>
struct alignas(sizeof(io_t) * kWidth) Vector {
  io_t of[kWidth];
};

// The values that make 16 bytes.
template <class io_t>
inline constexpr int kFullWidth = 16 / static_cast<int>(sizeof(io_t));

// p is aligned to the vector.
template <int kWidth, class io_t>
__device__ inline Vector<io_t, kWidth> load_vector(const io_t* p) {
  return *reinterpret_cast<const Vector<io_t, kWidth>*>(p);
}
template <class io_t, int kWidth>
__device__ inline void store_vector(io_t* p, const Vector<io_t, kWidth>& values) {
  *reinterpret_cast<Vector<io_t, kWidth>*>(p) = values;
}

}  // namespace wkv::cuda
