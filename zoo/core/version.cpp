#include "wkv/version.h"

#include <torch/headeronly/version.h>

namespace wkv {

const char* version() { return WKV_VERSION; }
const char* torch_version() { return TORCH_VERSION; }

}  // namespace wkv
