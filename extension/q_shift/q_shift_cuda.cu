// q_shift and its backward on CUDA.
#include "core/cuda/launch.h"
#include "q_shift/q_shift.h"
#include "q_shift/q_shift_check.h"
#include "q_shift/q_shift_kernels.cuh"

namespace wkv::cuda {
namespace {

// The units per element (or elements per unit) are such that every run of channels is whole units.
template <class unit_t>
void launch(const Device& device, QShiftCall call, int64_t elements, const Tensor& from, const Tensor& to) {
  call.channels /= elements;
  call.head_size /= elements;
  for (int64_t& bound : call.bounds) bound /= elements;
  constexpr int kThreads = 256;
  const int64_t units = call.tokens * call.channels;
  device.launch(q_shift_kernel<unit_t>, device.blocks_for(units, kThreads), kThreads, 0, call, data<const unit_t>(from),
                data<unit_t>(to));
}

// `shift` may be negative: then values go the other way.
Tensor shifted(const Tensor& x, int64_t height, int64_t width, double gamma, int64_t shift, int64_t head_size,
               int64_t cls_tokens) {
  const Device device(x);
  const Tensor from = as_contiguous(x);
  Tensor to = new_empty(from, from.sizes());
  const QShiftCall call =
      q_shift_call(from.size(0) * from.size(1), from.size(2), height, width, gamma, shift, head_size, cls_tokens);
  const int64_t per_unit = 16 / element_bytes(from);
  bool whole_units = call.head_size % per_unit == 0;
  for (const int64_t bound : call.bounds) whole_units = whole_units && bound % per_unit == 0;
  const auto aligned = [](const Tensor& tensor) { return reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 16 == 0; };
  if (whole_units && aligned(from) && aligned(to)) {
    launch<uint4>(device, call, per_unit, from, to);
  } else {
    for_io_type(from, [&](auto io) { launch<decltype(io)>(device, call, 1, from, to); });
  }
  return to;
}

Tensor q_shift(Tensor x, int64_t height, int64_t width, double gamma, int64_t shift, int64_t head_size,
               int64_t cls_tokens) {
  check_q_shift("q_shift", x, height, width, gamma, shift, head_size, cls_tokens);
  return shifted(x, height, width, gamma, shift, head_size, cls_tokens);
}

Tensor q_shift_backward(Tensor grad_y, Tensor x, int64_t height, int64_t width, double gamma, int64_t shift,
                        int64_t head_size, int64_t cls_tokens) {
  check_q_shift("_q_shift_backward", x, height, width, gamma, shift, head_size, cls_tokens);
  check_q_shift_gradient("_q_shift_backward", grad_y, x);
  return shifted(grad_y, height, width, gamma, -shift, head_size, cls_tokens);
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("q_shift", TORCH_BOX(&wkv::cuda::q_shift));
  m.impl("_q_shift_backward", TORCH_BOX(&wkv::cuda::q_shift_backward));
}
