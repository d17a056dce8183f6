#include "io/safetensors_dtype.h"

#include <array>
#include <utility>

namespace wkv::zoo {
namespace {

constexpr std::array<std::pair<std::string_view, c10::ScalarType>, 11> kSafetensorsDtypes{{
    {"F64", c10::ScalarType::Double},
    {"F32", c10::ScalarType::Float},
    {"F16", c10::ScalarType::Half},
    {"BF16", c10::ScalarType::BFloat16},
    {"I64", c10::ScalarType::Long},
    {"I32", c10::ScalarType::Int},
    {"I16", c10::ScalarType::Short},
    {"U16", c10::ScalarType::UInt16},
    {"I8", c10::ScalarType::Char},
    {"U8", c10::ScalarType::Byte},
    {"BOOL", c10::ScalarType::Bool},
}};

}  // namespace

c10::ScalarType safetensors_dtype(std::string_view name) {
  for (const auto& [known, dtype] : kSafetensorsDtypes)
    if (known == name) return dtype;
  return c10::ScalarType::Undefined;
}

std::string_view safetensors_dtype_name(c10::ScalarType dtype) {
  for (const auto& [name, known] : kSafetensorsDtypes)
    if (known == dtype) return name;
  return {};
}

}  // namespace wkv::zoo
