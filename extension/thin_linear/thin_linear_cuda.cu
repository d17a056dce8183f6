// _thin_linear on CUDA.
#include "core/cuda/launch.h"
#include "thin_linear/thin_linear_check.h"
#include "thin_linear/thin_linear_kernels.cuh"

namespace wkv::cuda {
namespace {

template <class weight_t, class x_t>
void multiply(const Device& device, const ThinLinearCall& call, const Tensor& weight, const Tensor& x,
              const Tensor& y) {
  const auto launch = [&](auto columns, auto inputs) {
    device.launch(thin_linear_kernel<weight_t, x_t, columns, inputs>, thin_linear_blocks(call, inputs), kThinThreads,
                  thin_linear_shared(inputs), call, data<weight_t>(weight), data<x_t>(x), data<x_t>(y));
  };
  constexpr int kColumns = 16 / sizeof(weight_t);
  using One = std::integral_constant<int, 1>;
  using Eight = std::integral_constant<int, 8>;
  const auto aligned = [](const Tensor& tensor, size_t to) {
    return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % to == 0;
  };
  if (call.columns % kColumns != 0 || !aligned(weight, 16) || !aligned(x, alignof(Vector<x_t, kColumns>))) {
    launch(One{}, Eight{});
  } else if (call.inputs == 1) {
    launch(std::integral_constant<int, kColumns>{}, One{});
  } else {
    launch(std::integral_constant<int, kColumns>{}, Eight{});
  }
}

Tensor thin_linear(Tensor x, Tensor weight, std::optional<Tensor> bias) {
  check_thin_linear("_thin_linear", x, weight, bias);
  const Device device(x);
  const ScalarType type = x.scalar_type();
  // The kernels take x in fp32, or as the weights are.
  if (type != weight.scalar_type() && type != ScalarType::Float) {
    x = torch::stable::to(x, ScalarType::Float);
    if (bias) bias = torch::stable::to(*bias, ScalarType::Float);
  }
  x = as_contiguous(x);
  weight = as_contiguous(weight);
  if (bias) bias = as_contiguous(*bias);
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
  shape.back() = weight.size(0);
  Tensor y = new_empty(x, shape);
  if (y.numel() > 0) {
    const ThinLinearCall call{.inputs = y.numel() / weight.size(0),
                              .outputs = weight.size(0),
                              .columns = weight.size(1),
                              .bias = bias ? bias->const_data_ptr() : nullptr,
                              .float_bias = bias && bias->scalar_type() == ScalarType::Float};
    for_io_type(weight, [&](auto io) {
      using weight_t = decltype(io);
      if constexpr (!std::is_same_v<weight_t, double>) {
        if (x.scalar_type() == ScalarType::Float) return multiply<weight_t, float>(device, call, weight, x, y);
        multiply<weight_t, weight_t>(device, call, weight, x, y);
      }
    });
  }
  return y.scalar_type() == type ? y : torch::stable::to(y, type);
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) { m.impl("_thin_linear", TORCH_BOX(&wkv::cuda::thin_linear)); }
