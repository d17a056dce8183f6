// `wkv convert`: one container and naming to another, tensor by tensor.
#include <ATen/Functions.h>
#include <fmt/format.h>

#include "mapping/match.h"
#include "wkv/error.h"
#include "wkv/zoo/load.h"

namespace wkv::zoo {

void convert(const std::string& path, const std::string& output, const LoadOptions& options) {
  if (!output.ends_with(".safetensors")) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: the output's name must end in .safetensors", output));
  }
  const Checkpoint checkpoint = open_checkpoint(path);
  Config config = read_config(options.config, path);
  const MatchedModel matched = match(checkpoint, options.family, config);
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& item : tensors_of(*matched.model)) {
    const at::Tensor tensor = matched.value(item.key(), item.value());
    const at::ScalarType own_dtype = tensor.scalar_type();
    const bool floating = item.value().is_floating_point();
    tensors.emplace_back(item.key(), tensor.to(floating ? options.dtype.value_or(own_dtype) : own_dtype));
  }
  write_safetensors(output, tensors, {{"format", "pt"}, {"family", matched.family->name}});
}

}  // namespace wkv::zoo
