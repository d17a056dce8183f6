// The wkv4 kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "wkv4/wkv4_backward_isa.h"
#include "wkv4/wkv4_forward_isa.h"

namespace wkv::WKV_ISA {
namespace {

template <class io_t>
constexpr Wkv4Kernels wkv4_kernels_for() {
  return {wkv4_start<io_t>,           wkv4_forward<io_t>,          wkv4_backward<io_t>,
          wkv4_forward_scratch<io_t>, wkv4_backward_scratch<io_t>, sum_parameter_gradient<io_t>};
}

}  // namespace

extern const Wkv4KernelTable wkv4_kernels = {
    {wkv4_kernels_for<float>(), wkv4_kernels_for<double>(), wkv4_kernels_for<BFloat16>(), wkv4_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
