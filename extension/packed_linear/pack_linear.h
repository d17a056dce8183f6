// _pack_linear on the CPU, for other devices too.
#pragma once
#include <string>

#include "core/stable.h"

namespace wkv {

Tensor pack_linear_cpu(Tensor weight, std::string format_name);

}  // namespace wkv
