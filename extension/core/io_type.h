// The dtypes that tensors may have in memory, in the order of the kernel tables.
#pragma once

namespace wkv {

enum class IoType { kFloat, kDouble, kBFloat16, kHalf };
inline constexpr int kIoTypes = 4;

}  // namespace wkv
