// The wkv7 kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "wkv7/wkv7_backward_isa.h"
#include "wkv7/wkv7_forward_isa.h"
#include "wkv7/wkv7_one_token_isa.h"

namespace wkv::WKV_ISA {
namespace {

template <class io_t>
void wkv7_forward_of_any_length(const Wkv7Inputs& in, const Wkv7Sequence& sequence, const Wkv7Outputs& out,
                                const Wkv7Part& part, void* scratch) {
  (sequence.length == 1 ? wkv7_one_token<io_t> : wkv7_forward<io_t>)(in, sequence, out, part, scratch);
}

template <class io_t>
constexpr Wkv7Kernels wkv7_kernels_for() {
  return {wkv7_forward_of_any_length<io_t>, wkv7_backward<io_t>, wkv7_forward_scratch<io_t>,
          wkv7_backward_scratch<io_t>};
}

}  // namespace

extern const Wkv7KernelTable wkv7_kernels = {
    {wkv7_kernels_for<float>(), wkv7_kernels_for<double>(), wkv7_kernels_for<BFloat16>(), wkv7_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
