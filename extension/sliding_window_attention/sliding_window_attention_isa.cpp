// The sliding_window_attention kernels of one instruction set; compiled once for each
// (scripts/cmake/InstructionSets.cmake).
#include "sliding_window_attention/sliding_window_attention_backward_isa.h"
#include "sliding_window_attention/sliding_window_attention_forward_isa.h"

namespace wkv::WKV_ISA {
namespace {

template <class io_t>
constexpr WindowKernels window_kernels_for() {
  return {window_forward<io_t>, window_backward<io_t>, window_forward_scratch<io_t>, window_backward_scratch<io_t>};
}

}  // namespace

extern const WindowKernelTable window_kernels = {{window_kernels_for<float>(), window_kernels_for<double>(),
                                                  window_kernels_for<BFloat16>(), window_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
