// Makes RWKV-7's functions on CUDA known.
#include "core/cuda/launch.h"
#include "rwkv7_blocks/rwkv7_blocks_cuda.h"

namespace wkv::cuda {
namespace {

constexpr rwkv7::Functions kFunctions = {.can_decode = rwkv7_can_decode,
                                         .decode = rwkv7_decode,
                                         .mix = rwkv7_mix,
                                         .prepare = rwkv7_prepare,
                                         .finish = rwkv7_finish,
                                         .square_relu = rwkv7_square_relu};
[[maybe_unused]] const bool known = (rwkv7::register_functions(kDevice, &kFunctions), true);

}  // namespace
}  // namespace wkv::cuda
