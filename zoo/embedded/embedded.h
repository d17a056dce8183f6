// The weights that libwkv.so carries with it.
#pragma once
#include <string>

#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {

// Of this file of zoo/embedded. Throws wkv::Error, not_found, for the name of none.
TensorSource embedded_tensors(const std::string& file);

}  // namespace wkv::zoo
