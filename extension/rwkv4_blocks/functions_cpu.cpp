// RWKV-4's functions by device, and those of the CPU.
#include "core/functions_of_device.h"
#include "rwkv4_blocks/rwkv4_blocks.h"

namespace wkv::rwkv4 {
namespace {

constexpr Functions kCpu = {.can_decode = rwkv4_can_decode_cpu, .decode = rwkv4_decode_cpu};
constinit FunctionsOfDevice<Functions> all(&kCpu);

}  // namespace

const Functions* functions(DeviceKind kind) { return all.of(kind); }
void register_functions(DeviceKind kind, const Functions* functions) { all.set(kind, functions); }

}  // namespace wkv::rwkv4
