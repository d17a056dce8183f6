// The wkv7 kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "wkv7/wkv7_backward_isa.h"
#include "wkv7/wkv7_forward_isa.h"

namespace wkv::WKV_ISA {
namespace {

template <class io_t>
constexpr Wkv7Kernels wkv7_kernels_for() {
  return {wkv7_forward<io_t>, wkv7_backward<io_t>, wkv7_forward_scratch<io_t>, wkv7_backward_scratch<io_t>};
}

}  // namespace

extern const Wkv7KernelTable wkv7_kernels = {
    {wkv7_kernels_for<float>(), wkv7_kernels_for<double>(), wkv7_kernels_for<BFloat16>(), wkv7_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
