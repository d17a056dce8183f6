// From tensors to kernels: PyTorch's device and stream, the sequences on the device, launches, dtypes. For *_cuda.cu.
#pragma once
#include "core/cuda/platform.cuh"
//
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>

#include <optional>
#include <vector>

#include "core/check.h"
#include "core/cuda/sequences.cuh"
#include "core/stable.h"

namespace wkv::cuda {

// While it lives, the device of a tensor is the current one, and kernels go to PyTorch's current stream of it.
class Device {
 public:
  explicit Device(const Tensor& x);

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
      STD_CUDA_CHECK(
          cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
    }
    kernel<<<grid, size, bytes, static_cast<cudaStream_t>(stream_)>>>(static_cast<Parameters>(arguments)...);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
#else
    cuda_on_host::run(dim3(grid), dim3(size), bytes, host_seed(),
                      [&] { kernel(static_cast<Parameters>(arguments)...); });
#endif
  }

  // Those of `batch` rows of `time` tokens, or of cu_seqlens: checked where it is on the CPU, then copied without
  // waiting.
  Sequences sequences(const char* op, int64_t batch, int64_t time, const std::optional<Tensor>& cu_seqlens);

  int64_t most_shared_bytes() const;  // of a block whose kernel asks for them
  int multiprocessors() const;

 private:
  static constexpr int64_t kMostBlocks = (int64_t{1} << 31) - 1;
  static constexpr size_t kSharedBytesByDefault = 48 << 10;
#ifndef __CUDACC__
  static uint64_t host_seed();
#endif

#ifdef __CUDACC__
  torch::stable::accelerator::DeviceGuard guard_;
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

template <class T>
T* data(const Tensor& x) {
  return static_cast<T*>(x.mutable_data_ptr());
}
template <class T>
T* data_if(const std::optional<Tensor>& x) {
  return x ? data<T>(*x) : nullptr;
}

}  // namespace wkv::cuda

// At file scope: registers an op's functions for CUDA tensors; on the host, in the place of those for CPU tensors.
#ifdef __CUDACC__
#define WKV_CUDA_LIBRARY(m) STABLE_TORCH_LIBRARY_IMPL(wkv, CUDA, m)
#else
#define WKV_CUDA_LIBRARY(m) STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m)
#endif
