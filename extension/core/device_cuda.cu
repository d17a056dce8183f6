// The device and the stream of a call; see core/cuda/launch.h.
#include "core/cuda/launch.h"
#include "core/sequences.h"

#ifdef __CUDACC__
#include <dlfcn.h>
#endif

#include <cstdlib>
#include <string>

namespace wkv::cuda {
namespace {

#ifdef __CUDACC__
// PyTorch's current stream. The function is in PyTorch's CUDA library, which a PyTorch without CUDA lacks: so it is
// looked up in what is loaded when it is needed, and this library loads under either.
void* current_stream(int device) {
  using CurrentStream = AOTITorchError (*)(int32_t, void**);
  static const auto function = [] {
    void* const library = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
    void* const symbol = library ? dlsym(library, "aoti_torch_get_current_cuda_stream") : nullptr;
    if (!symbol) fail("wkv: a CUDA tensor, but no libtorch_cuda.so is loaded that tells its stream");
    return reinterpret_cast<CurrentStream>(symbol);
  }();
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(function(device, &stream));
  return stream;
}
#endif

#ifdef __CUDACC__
__global__ void empty_kernel() {}  // compiled for the same GPUs as all others
#endif

Form read_form() {
  const char* const wish = std::getenv("WKV_CUDA_FORM");
  if (!wish) return Form::kByShape;
  if (std::string(wish) == "recurrent") return Form::kRecurrent;
  if (std::string(wish) == "chunked") return Form::kChunked;
  fail("WKV_CUDA_FORM must be recurrent or chunked, got \"", wish, "\"");
}

}  // namespace

Form wished_form() {
  static const Form form = read_form();
  return form;
}

#ifdef __CUDACC__
Device::Device(int index) : guard_(index), index_(index), stream_(current_stream(index)) {}
Device::Device(const Tensor& x) : Device(x.get_device_index()) {}
Device::Device() : Device(torch::stable::accelerator::getCurrentDeviceIndex()) {}

int Device::multiprocessors() const {
  int count = 0;
  check_cuda(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, index_));
  return count;
}

Tensor Device::memory(int64_t bytes) const {
  return torch::stable::empty({bytes}, ScalarType::Byte, std::nullopt,
                              torch::stable::Device(torch::headeronly::DeviceType::CUDA, index_));
}

// The GPU must know how, and so must the code: that for older ones, translated for this one, would not wait.
bool Device::begins_early() const {
  if (!begins_early_) {
    constexpr int kSince = 9;
    int major = 0;
    check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index_));
    cudaFuncAttributes code;
    check_cuda(cudaFuncGetAttributes(&code, empty_kernel));
    begins_early_ = major >= kSince && code.ptxVersion >= 10 * kSince;
  }
  return *begins_early_;
}
int64_t Device::most_shared_bytes() const {
  int bytes = 0;
  check_cuda(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, index_));
  return bytes;
}
#else
Device::Device(const Tensor&) : Device() {}
Device::Device() : index_(0), stream_(nullptr) {}

Tensor Device::memory(int64_t bytes) const {
  return torch::stable::empty({bytes}, ScalarType::Byte, std::nullopt,
                              torch::stable::Device(torch::headeronly::DeviceType::CPU));
}

int Device::multiprocessors() const { return 132; }  // an H100's
int64_t Device::most_shared_bytes() const { return 227 << 10; }

uint64_t Device::host_seed() {
  static const char* const seed = std::getenv("WKV_CUDA_ON_HOST_SEED");
  return seed ? std::strtoull(seed, nullptr, 10) : 0;
}
#endif

#ifdef __CUDACC__
Tensor Device::on_device(const Tensor& x) const {
  if (!x.is_cpu()) return x;
  // From pinned memory, or the copy would wait for the stream. PyTorch keeps that memory until the copy is done.
  Tensor pinned = torch::stable::empty(x.sizes(), x.scalar_type(), std::nullopt,
                                       torch::stable::Device(torch::headeronly::DeviceType::CPU), /*pin_memory=*/true);
  torch::stable::copy_(pinned, x);
  return torch::stable::to(pinned, torch::stable::Device(torch::headeronly::DeviceType::CUDA, index_),
                           /*non_blocking=*/true);
}
#else
Tensor Device::on_device(const Tensor& x) const { return x; }
#endif

Sequences Device::sequences(const char* op, int64_t batch, int64_t time, const std::optional<Tensor>& cu_seqlens) {
  if (!cu_seqlens) return {nullptr, false, batch, time, batch * time};
  bounds_ = as_contiguous(*cu_seqlens);
  const int64_t count = bounds_->size(0) - 1;
  if (bounds_->is_cpu()) packed_sequences(op, *bounds_, time);
  bounds_ = on_device(*bounds_);
  return {bounds_->const_data_ptr(), bounds_->scalar_type() == ScalarType::Long, count, time, time};
}

}  // namespace wkv::cuda
