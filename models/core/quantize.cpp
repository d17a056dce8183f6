#include <fmt/format.h>

#include "layers/linear.h"
#include "wkv/error.h"
#include "wkv/models/language_model.h"

namespace wkv::models {

void Model::quantize(const std::string& format) {
  if (format != "int8" && format != "int4") {
    throw Error(ErrorCode::invalid_argument, fmt::format("quantize: expected int8 or int4, got {}", format));
  }
  for (const auto& module : modules(/*include_self=*/false)) {
    const auto* const linear = dynamic_cast<const Linear*>(module.get());
    if (linear && (linear->quantized() || !linear->weight.is_cpu())) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("quantize: this {} is {}", family(),
                              linear->quantized() ? "quantised already" : "not on the CPU"));
    }
  }
  for (const auto& module : modules(/*include_self=*/false)) {
    if (auto* const linear = dynamic_cast<Linear*>(module.get())) linear->quantize(format);
  }
}

}  // namespace wkv::models
