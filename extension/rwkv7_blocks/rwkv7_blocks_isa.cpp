// The rwkv7_blocks kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "rwkv7_blocks/decode_isa.h"
#include "rwkv7_blocks/prompt_isa.h"

namespace wkv::WKV_ISA {
namespace {

template <class P>
void rwkv7_step(const Rwkv7DecodeStep& step, void* wkv_scratch) {
  Rwkv7Step<P>(step, wkv_scratch).run();
}

int64_t rwkv7_wkv_scratch(int64_t head_size) {
  return wkv7_forward_scratch<float>({.heads = 1, .key_size = head_size, .value_size = head_size});
}

template <class P>
constexpr Rwkv7Kernels rwkv7_kernels_for() {
  return {rwkv7_step<P>,     rwkv7_wkv_scratch, add_tokens<P>, mix_tokens<P>,
          prepare_tokens<P>, finish_tokens<P>,  square_relu<P>};
}

}  // namespace

extern const Rwkv7KernelTable rwkv7_kernels = {
    {rwkv7_kernels_for<float>(), rwkv7_kernels_for<BFloat16>(), rwkv7_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
