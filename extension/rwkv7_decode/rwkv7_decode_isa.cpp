// The decoding step of RWKV-7 for one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "rwkv7_decode/rwkv7_decode_isa.h"

namespace wkv::WKV_ISA {
namespace {

template <class P>
void rwkv7_step(const Rwkv7DecodeStep& step, void* wkv_scratch) {
  Rwkv7Step<P>(step, wkv_scratch).run();
}

int64_t rwkv7_wkv_scratch(int64_t heads, int64_t head_size) {
  return wkv7_forward_scratch<float>({.heads = heads, .key_size = head_size, .value_size = head_size});
}

}  // namespace

extern const Rwkv7DecodeKernels rwkv7_decode_kernels = {{rwkv7_step<float>, rwkv7_step<BFloat16>, rwkv7_step<Half>},
                                                        rwkv7_wkv_scratch};

}  // namespace wkv::WKV_ISA
