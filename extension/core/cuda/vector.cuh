// Neighbours in memory, moved at once: 16 bytes at most in one instruction.
#pragma once
#include "core/cuda/platform.cuh"

namespace wkv::cuda {

template <class T, int n>
struct alignas(sizeof(T) * n < 16 ? sizeof(T) * n : 16) Vector {
  T value[n];
};

// The values that make 16 bytes.
template <class T>
inline constexpr int kFullWidth = 16 / static_cast<int>(sizeof(T));

// The addresses are aligned to the vector.
template <int n, class T>
__device__ inline Vector<T, n> load_vector(const T* from) {
  return *reinterpret_cast<const Vector<T, n>*>(from);
}
template <int n, class T>
__device__ inline void store_vector(T* to, const Vector<T, n>& values) {
  *reinterpret_cast<Vector<T, n>*>(to) = values;
}

}  // namespace wkv::cuda
