// Versions of this library and of the torch that it was built with.
#pragma once
#include "wkv/export.h"

namespace wkv {

WKV_API const char* version();        // "0.1.0"
WKV_API const char* torch_version();  // "2.11.0"

}  // namespace wkv
