// `wkv convert`: one container and naming to another, tensor by tensor, and one family to another where that is known.
#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "mapping/conversion.h"
#include "mapping/named_checkpoint.h"
#include "mapping/quantization.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

// A new conversion adds its mapping/to_<family>.cpp and a row here.
std::span<const Conversion> conversions() {
  static const Conversion all[] = {to_multi_temporal, to_rrwkv};
  return all;
}

// The conversion to another family that the options ask for; null: only names and container change.
const Conversion* conversion_to(const std::string& target) {
  if (target == "safetensors" || target == "upstream") return nullptr;
  const auto found = std::ranges::find(conversions(), target, [](const Conversion& c) { return c.target; });
  if (found == conversions().end()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("to: expected one of {}, got {}", fmt::join(convert_targets(), ", "), target));
  }
  return &*found;
}

}  // namespace

std::vector<std::string> convert_targets() {
  std::vector<std::string> names = {"safetensors", "upstream"};
  for (const Conversion& conversion : conversions()) names.emplace_back(conversion.target);
  return names;
}

ConvertReport convert(const std::string& path, const std::string& output, const ConvertOptions& options) {
  const Conversion* conversion = conversion_to(options.to);
  if (!output.ends_with(".safetensors")) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: the output's name must end in .safetensors", output));
  }
  NamedCheckpoint named(path, options.config, options.progress);
  Checkpoint& checkpoint = named.checkpoint;
  const std::string quantization = wanted_quantization(checkpoint, options.quantize, options.dtype);
  if (conversion && !quantization.empty()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: {} is not made in {}: convert first, then quantise", path, options.to, quantization));
  }
  const MatchedModel matched = named.match();
  ConvertReport report{.family = matched.family->name};
  if (conversion && report.family != conversion->source_family) {
    throw Error(ErrorCode::unsupported_format, fmt::format("{}: a model of family {}, but {} is made from {}", path,
                                                           report.family, options.to, conversion->source_family));
  }

  std::map<std::string, std::string> formats;
  if (!quantization.empty()) formats = matched.model->matrix_formats(quantization);

  ModelTensors model{.tensors = {}, .metadata = matched.model->metadata()};
  if (!quantization.empty()) model.metadata[kQuantizationKey] = quantization;
  for (const auto& item : tensors_of(*matched.model)) {
    const auto format = formats.find(item.key());
    model.tensors[item.key()] = format == formats.end() ? matched.value(item.key(), item.value())
                                                        : matched.quantized(item.key(), item.value(), format->second);
    if (const auto entry = matched.tensors.find(item.key()); format != formats.end() && entry != matched.tensors.end())
      checkpoint.release(*entry->second);
  }
  const auto elements = [&] {
    int64_t sum = 0;
    for (const auto& [name, tensor] : model.tensors) sum += tensor.numel();
    return sum;
  };
  for (const auto& parameter : matched.model->named_parameters()) report.parameters += parameter.value().numel();
  const int64_t before = elements();
  if (conversion) {
    conversion->convert(model, options, path);
    report.family = conversion->family;
  }
  report.added_parameters = elements() - before;

  model.metadata.insert({{"format", "pt"}, {"family", report.family}});
  for (auto& [name, tensor] : model.tensors)
    if (options.dtype && tensor.is_floating_point()) tensor = tensor.to(*options.dtype);
  write_safetensors(output, {model.tensors.begin(), model.tensors.end()}, model.metadata);
  return report;
}

}  // namespace wkv::zoo
