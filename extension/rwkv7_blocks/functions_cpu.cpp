// RWKV-7's functions by device, and those of the CPU.
#include "core/functions_of_device.h"
#include "rwkv7_blocks/rwkv7_blocks.h"

namespace wkv::rwkv7 {
namespace {

constexpr Functions kCpu = {.can_decode = rwkv7_can_decode_cpu,
                            .decode = rwkv7_decode_cpu,
                            .mix = rwkv7_mix_cpu,
                            .prepare = rwkv7_prepare_cpu,
                            .finish = rwkv7_finish_cpu,
                            .square_relu = rwkv7_square_relu_cpu};
constinit FunctionsOfDevice<Functions> all(&kCpu);

}  // namespace

const Functions* functions(DeviceKind kind) { return all.of(kind); }
void register_functions(DeviceKind kind, const Functions* functions) { all.set(kind, functions); }

}  // namespace wkv::rwkv7
