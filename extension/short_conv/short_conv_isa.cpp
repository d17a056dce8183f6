// The short_conv kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "short_conv/short_conv_backward_isa.h"
#include "short_conv/short_conv_forward_isa.h"

namespace wkv::WKV_ISA {
namespace {

template <class io_t>
constexpr ShortConvKernels short_conv_kernels_for() {
  return {short_conv_forward<io_t>, short_conv_backward<io_t>, short_conv_forward_scratch<io_t>,
          short_conv_backward_scratch<io_t>};
}

}  // namespace

extern const ShortConvKernelTable short_conv_kernels = {
    {short_conv_kernels_for<float>(), short_conv_kernels_for<double>(), short_conv_kernels_for<BFloat16>(),
     short_conv_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
