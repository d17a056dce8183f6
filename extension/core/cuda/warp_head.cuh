// A head of a token as a warp works on it, and the gradients of a head's parameters, which the warps of a block have
// summed over their tokens: the block's sums.
#pragma once
#include "core/cuda/decay.cuh"

namespace wkv::cuda {

// Lane l has the values l, l + 32, ... of the row: kValues at most. In tensors [tokens, heads, size] of io_t the row
// begins at element first().
template <class io_t, int kValues_>
class WarpHead {
 public:
  using acc_t = accumulate_t<io_t>;
  static constexpr int kValues = kValues_;

  __device__ WarpHead(int64_t token, int64_t head, int64_t heads, int64_t size)
      : first_((token * heads + head) * size), parameter_(head * size), size_(size) {}

  // use(j, i) for value i of the head as this lane's value j.
  template <class Use>
  __device__ void for_values(const Use& use) const {
#pragma unroll
    for (int j = 0; j < kValues; ++j) {
      const int64_t i = 32 * j + static_cast<int>(threadIdx.x % 32);
      if (i < size_) use(j, i);
    }
  }
  __device__ acc_t load(const void* tensor, int64_t i) const {
    return static_cast<acc_t>(static_cast<const io_t*>(tensor)[first_ + i]);
  }
  __device__ void store(void* tensor, int64_t i, acc_t value) const {
    static_cast<io_t*>(tensor)[first_ + i] = static_cast<io_t>(value);
  }
  __device__ acc_t parameter(const ParameterRow& row, int64_t i) const {
    return load_parameter<io_t>(row.values, row.is_float, parameter_ + i);
  }
  __device__ int64_t first() const { return first_; }

 private:
  const int64_t first_, parameter_, size_;
};

// The shared memory that store_head_sums needs.
template <class acc_t>
constexpr int64_t head_sums_bytes(int warps, int parameters, int values) {
  return int64_t{warps} * parameters * values * 32 * static_cast<int64_t>(sizeof(acc_t));
}

// mine[p][j]: this lane's sum for parameter p of the head's value 32 j + lane. Goes to sums[p * stride + value], for
// values below `size`. To be called by all threads of the block.
template <class acc_t, int kParameters, int kValues>
__device__ inline void store_head_sums(const acc_t (&mine)[kParameters][kValues], int64_t size, acc_t* sums,
                                       int64_t stride) {
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32),
            warps = static_cast<int>(blockDim.x / 32);
  auto* const of_warps = reinterpret_cast<acc_t*>(shared_memory());  // [warps][kParameters][32 kValues]
#pragma unroll
  for (int p = 0; p < kParameters; ++p) {
#pragma unroll
    for (int j = 0; j < kValues; ++j) of_warps[((warp * kParameters + p) * kValues + j) * 32 + lane] = mine[p][j];
  }
  __syncthreads();
  for (int64_t i = threadIdx.x; i < kParameters * size; i += blockDim.x) {
    const int64_t p = i / size, value = i % size;
    acc_t sum = 0;
    for (int w = 0; w < warps; ++w) sum += of_warps[(w * kParameters + p) * kValues * 32 + value];
    sums[p * stride + value] = sum;
  }
}

}  // namespace wkv::cuda
