// The weights that libwkv.so carries with it.
#pragma once
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {

TensorSource embedded_tensors();

}  // namespace wkv::zoo
