// The rwkv4_blocks kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "rwkv4_blocks/decode_isa.h"

namespace wkv::WKV_ISA {
namespace {

template <class P>
void rwkv4_step(const Rwkv4DecodeStep& step) {
  Rwkv4Step<P>(step).run();
}

}  // namespace

extern const Rwkv4KernelTable rwkv4_kernels = {{rwkv4_step<float>, rwkv4_step<BFloat16>, rwkv4_step<Half>}};

}  // namespace wkv::WKV_ISA
