// The bi_wkv kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "bi_wkv/bi_wkv_compat_isa.h"
#include "bi_wkv/bi_wkv_fast_isa.h"
#include "bi_wkv/bi_wkv_stable_isa.h"

namespace wkv::WKV_ISA {
namespace {

constexpr int kBiWkvForwardSlots = 3, kBiWkvBackwardSlots = 9;  // as many as any form has

template <class io_t>
void bi_wkv_forward(const BiWkvInputs& in, const BiWkvBlock& block, void* y, void* scratch) {
  Arena arena(scratch);
  const BiWkvColumns<io_t> columns(arena, in, block, kBiWkvForwardSlots);
  if (in.compat_chunks > 0) {
    bi_wkv_write_y(BiWkvCompat<io_t>(columns), y);
  } else if (!bi_wkv_write_y(BiWkvFast<io_t>(columns), y)) {
    bi_wkv_write_y(BiWkvStable<io_t>(columns), y);
  }
}

template <class io_t>
void bi_wkv_backward(const BiWkvInputs& in, const BiWkvBlock& block, const BiWkvGradients& grad, void* scratch) {
  Arena arena(scratch);
  const BiWkvColumns<io_t> columns(arena, in, block, kBiWkvBackwardSlots);
  if (in.compat_chunks > 0) {
    bi_wkv_write_gradients(BiWkvCompat<io_t>(columns), grad);
  } else if (!bi_wkv_write_gradients(BiWkvFast<io_t>(columns), grad)) {
    bi_wkv_write_gradients(BiWkvStable<io_t>(columns), grad);
  }
}

template <class io_t, int kSlots>
int64_t bi_wkv_scratch(int64_t time, int64_t chunk, int64_t channels) {
  return BiWkvColumns<io_t>::scratch(time, chunk, channels, kSlots);
}

template <class io_t>
constexpr BiWkvKernels bi_wkv_kernels_for() {
  return {bi_wkv_forward<io_t>, bi_wkv_backward<io_t>, bi_wkv_scratch<io_t, kBiWkvForwardSlots>,
          bi_wkv_scratch<io_t, kBiWkvBackwardSlots>, sum_parameter_gradient<io_t>};
}

}  // namespace

extern const BiWkvKernelTable bi_wkv_kernels = {{bi_wkv_kernels_for<float>(), bi_wkv_kernels_for<double>(),
                                                 bi_wkv_kernels_for<BFloat16>(), bi_wkv_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
