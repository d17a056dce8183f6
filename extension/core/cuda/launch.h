// From tensors to kernels: PyTorch's device and stream, the sequences on the device, launches, dtypes. For *_cuda.cu.
#pragma once
#include "core/cuda/platform.cuh"
//
#include <torch/csrc/stable/accelerator.h>

#include <algorithm>
#include <optional>

#include "core/check.h"
#include "core/cuda/sequences.cuh"
#include "core/cuda/vector.cuh"
#include "core/stable.h"
#include "wkv/decode_matrix.h"

namespace wkv::cuda {

#ifdef __CUDACC__
// PyTorch's own STD_CUDA_CHECK needs its CUDA library at link time, which a PyTorch without CUDA lacks.
inline void check_cuda(cudaError_t error) {
  if (error != cudaSuccess) fail("wkv: CUDA: ", cudaGetErrorString(error));
}
#endif

// While it lives, the device of a tensor is the current one, and kernels go to PyTorch's current stream of it.
class Device {
 public:
  explicit Device(const Tensor& x);
  Device();  // the current one: for functions on raw pointers

  // Blocks of the grid and threads of a block, of one dimension each; nothing is launched where there are no blocks.
  template <class... Parameters, class... Arguments>
  void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, int64_t shared_bytes,
              const Arguments&... arguments) const {
    if (blocks == 0) return;
    if (blocks > kMostBlocks) fail("wkv: a CUDA kernel would need ", blocks, " blocks, more than ", kMostBlocks);
    const auto grid = static_cast<unsigned>(blocks), size = static_cast<unsigned>(threads);
    const auto bytes = static_cast<size_t>(shared_bytes);
#ifdef __CUDACC__
    if (bytes > kSharedBytesByDefault) {
      check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
    }
    kernel<<<grid, size, bytes, static_cast<cudaStream_t>(stream_)>>>(static_cast<Parameters>(arguments)...);
    check_cuda(cudaGetLastError());
#else
    cuda_on_host::run(dim3(grid), dim3(size), bytes, host_seed(),
                      [&] { kernel(static_cast<Parameters>(arguments)...); });
#endif
  }

  // The same for a kernel that may begin before the one launched ahead of it has ended (see early_launch.cuh).
  template <class... Parameters, class... Arguments>
  void launch_early(void (*kernel)(Parameters...), int64_t blocks, int threads, int64_t shared_bytes,
                    const Arguments&... arguments) const {
#ifdef __CUDACC__
    const auto bytes = static_cast<size_t>(shared_bytes);
    if (blocks > 0 && blocks <= kMostBlocks && bytes <= kSharedBytesByDefault && begins_early()) {
      cudaLaunchAttribute early;
      early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
      early.val.programmaticStreamSerializationAllowed = 1;
      cudaLaunchConfig_t config = {};
      config.gridDim = static_cast<unsigned>(blocks);
      config.blockDim = static_cast<unsigned>(threads);
      config.dynamicSmemBytes = bytes;
      config.stream = static_cast<cudaStream_t>(stream_);
      config.attrs = &early;
      config.numAttrs = 1;
      check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
      return;
    }
#endif
    launch(kernel, blocks, threads, shared_bytes, arguments...);
  }

  // Memory of the device for kernels that are launched while the tensor lives.
  Tensor memory(int64_t bytes) const;

  // x itself, or of what is on the CPU a copy on the device, made without waiting.
  Tensor on_device(const Tensor& x) const;

  // Those of `batch` rows of `time` tokens, or of cu_seqlens: checked where it is on the CPU.
  Sequences sequences(const char* op, int64_t batch, int64_t time, const std::optional<Tensor>& cu_seqlens);

  int multiprocessors() const;
  // The blocks for a kernel whose threads take their work in strides: enough to fill the device, and no more.
  int64_t blocks_for(int64_t work, int threads) const {
    return std::min<int64_t>((work + threads - 1) / threads, int64_t{16} * multiprocessors());
  }
  // Of a block, if its kernel asks for them.
  int64_t most_shared_bytes() const;

 private:
  static constexpr int64_t kMostBlocks = (int64_t{1} << 31) - 1;
  static constexpr size_t kSharedBytesByDefault = 48 << 10;
#ifndef __CUDACC__
  static uint64_t host_seed();
#endif

#ifdef __CUDACC__
  explicit Device(int index);
  bool begins_early() const;

  torch::stable::accelerator::DeviceGuard guard_;
  mutable std::optional<bool> begins_early_;
#endif
  int index_;
  void* stream_;
  std::optional<Tensor> bounds_;  // what `sequences` put on the device
};

// Which algorithm: by the shape, or, for tests and benchmarks, as the environment's WKV_CUDA_FORM says (`recurrent` or
// `chunked`), as far as the op has both for its arguments.
enum class Form { kByShape, kRecurrent, kChunked };
Form wished_form();

// run(io_t{}) for the dtype of x, which the op's checks let through.
template <class Run>
void for_io_type(const Tensor& x, const Run& run) {
  switch (io_type(x)) {
    case IoType::kFloat:
      return run(float{});
    case IoType::kDouble:
      return run(double{});
    case IoType::kBFloat16:
      return run(BFloat16{});
    case IoType::kHalf:
      return run(Half{});
  }
}

// Whose memory the kernels work on.
#ifdef __CUDACC__
inline constexpr DeviceKind kDevice = DeviceKind::kCuda;
#else
inline constexpr DeviceKind kDevice = DeviceKind::kCpu;
#endif

template <class T>
T* data(const Tensor& x) {
  if constexpr (std::is_const_v<T>) {
    return static_cast<T*>(x.const_data_ptr());
  } else {
    return static_cast<T*>(x.mutable_data_ptr());
  }
}
template <class T>
T* data_if(const std::optional<Tensor>& x) {
  return x ? data<T>(*x) : nullptr;
}

// run(width), a constant: kFullWidth where there are so many elements, in whole vectors, and the tensors are aligned to
// them; else 1.
template <class io_t, class Run>
void for_vector_width(int64_t elements, std::initializer_list<Tensor> tensors, const Run& run) {
  const bool aligned = std::all_of(tensors.begin(), tensors.end(), [](const Tensor& tensor) {
    return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0;
  });
  if (aligned && elements % kFullWidth<io_t> == 0) {
    run(std::integral_constant<int, kFullWidth<io_t>>());
  } else {
    run(std::integral_constant<int, 1>());
  }
}

// What blocks left of a tensor like `like` in parts [parts, ...] of fp32 or fp64, contiguous: their sum, in a fixed
// order.
Tensor sum_of_parts(const Device& device, const Tensor& parts, const Tensor& like);

}  // namespace wkv::cuda

// At file scope: registers an op's functions for CUDA tensors; on the host, in the place of those for CPU tensors.
#ifdef __CUDACC__
#define WKV_CUDA_LIBRARY(m) STABLE_TORCH_LIBRARY_IMPL(wkv, CUDA, m)
#else
#define WKV_CUDA_LIBRARY(m) STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m)
#endif
