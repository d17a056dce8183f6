// The wkv6 kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "wkv6/wkv6_backward_isa.h"
#include "wkv6/wkv6_forward_isa.h"

namespace wkv::WKV_ISA {
namespace {

template <class io_t>
void wkv6_decode(const Wkv6Inputs& in, int64_t row, int64_t head, void* state, void* y) {
  wkv6_one_token<io_t>(in, row, head, 0, in.value_size, state, state, y);
}

template <class io_t>
constexpr Wkv6Kernels wkv6_kernels_for() {
  return {wkv6_forward<io_t>, wkv6_backward<io_t>, wkv6_forward_scratch<io_t>, wkv6_backward_scratch<io_t>,
          wkv6_decode<io_t>};
}

}  // namespace

extern const Wkv6KernelTable wkv6_kernels = {
    {wkv6_kernels_for<float>(), wkv6_kernels_for<double>(), wkv6_kernels_for<BFloat16>(), wkv6_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
