// The based_linear_attention kernels of one instruction set; compiled once for each
// (scripts/cmake/InstructionSets.cmake).
#include "based_linear_attention/based_linear_attention_backward_isa.h"
#include "based_linear_attention/based_linear_attention_forward_isa.h"
#include "based_linear_attention/based_one_token_isa.h"

namespace wkv::WKV_ISA {
namespace {

template <class io_t>
constexpr BasedKernels based_kernels_for() {
  return {based_forward<io_t>,          based_backward<io_t>,  based_forward_scratch<io_t>,
          based_backward_scratch<io_t>, based_one_token<io_t>, based_one_token_scratch<io_t>};
}

}  // namespace

extern const BasedKernelTable based_kernels = {{based_kernels_for<float>(), based_kernels_for<double>(),
                                                based_kernels_for<BFloat16>(), based_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
