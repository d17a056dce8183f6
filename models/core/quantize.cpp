#include <fmt/format.h>

#include <algorithm>

#include "layers/linear.h"
#include "wkv/error.h"
#include "wkv/models/language_model.h"

namespace wkv::models {

std::map<std::string, std::string> Model::matrix_formats(const std::string& format) const {
  if (format != "int8" && format != "int4") {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: matrices are quantised to int8 or int4, not to \"{}\"", family(), format));
  }
  std::map<std::string, std::string> formats;
  for (const auto& module : named_modules({}, /*include_self=*/false)) {
    if (dynamic_cast<const Linear*>(module.value().get())) formats.emplace(module.key() + ".weight", format);
  }
  if (formats.empty()) {
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: has no matrices that could be quantised: load it in fp32 or bf16", family()));
  }
  return formats;
}

bool Model::quantized() const {
  const auto all = modules(/*include_self=*/false);
  return std::ranges::any_of(all, [](const auto& module) {
    const auto* const linear = dynamic_cast<const Linear*>(module.get());
    return linear && linear->quantized();
  });
}

void Model::quantize(const std::string& format) {
  const auto formats = matrix_formats(format);
  if (quantized()) throw Error(ErrorCode::invalid_argument, fmt::format("{}: is quantised already", family()));
  for (const auto& module : named_modules({}, /*include_self=*/false)) {
    if (auto* const linear = dynamic_cast<Linear*>(module.value().get())) {
      linear->quantize(formats.at(module.key() + ".weight"));
    }
  }
}

}  // namespace wkv::models
