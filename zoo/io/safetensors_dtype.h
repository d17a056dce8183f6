// The names of dtypes in safetensors headers.
#pragma once
#include <torch/headeronly/core/ScalarType.h>

#include <string_view>

namespace wkv::zoo {

c10::ScalarType safetensors_dtype(std::string_view name);        // Undefined for a name that we do not read
std::string_view safetensors_dtype_name(c10::ScalarType dtype);  // empty for a dtype that we do not write

}  // namespace wkv::zoo
