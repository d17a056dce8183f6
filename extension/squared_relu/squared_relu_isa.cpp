// The _squared_relu kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "core/simd/rows.h"
#include "squared_relu/squared_relu.h"

namespace wkv::WKV_ISA {
namespace {

template <class V>
V rectified(V x) {
  const V zero = {};
  return x < zero ? zero : x;
}

template <class io_t>
void squared_relu_forward(const void* x, void* y, int64_t first, int64_t last) {
  for (int64_t i = first; i < last; i += kLanes<accumulate_t<io_t>>) {
    const auto r = rectified(load_part(row_of<io_t>(x, 0), i, last));
    store_part(row_of<io_t>(y, 0), r * r, i, last);
  }
}

template <class io_t>
void squared_relu_backward(const void* grad_y, const void* x, void* grad_x, int64_t first, int64_t last) {
  for (int64_t i = first; i < last; i += kLanes<accumulate_t<io_t>>) {
    const auto r = rectified(load_part(row_of<io_t>(x, 0), i, last));
    store_part(row_of<io_t>(grad_x, 0), (r + r) * load_part(row_of<io_t>(grad_y, 0), i, last), i, last);
  }
}

template <class io_t>
constexpr SquaredReluKernels squared_relu_kernels_for() {
  return {squared_relu_forward<io_t>, squared_relu_backward<io_t>};
}

}  // namespace

extern const SquaredReluKernelTable squared_relu_kernels = {
    {squared_relu_kernels_for<float>(), squared_relu_kernels_for<double>(), squared_relu_kernels_for<BFloat16>(),
     squared_relu_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
