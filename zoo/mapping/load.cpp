// From tensors in a file to a model in memory.
#include "wkv/zoo/load.h"

#include <ATen/Functions.h>
#include <fmt/format.h>

#include "mapping/named_checkpoint.h"
#include "mapping/quantization.h"
#include "wkv/error.h"
#include "wkv/models/memory.h"

namespace wkv::zoo {
namespace {

// Of the parameters that are not quantised.
at::ScalarType parameter_dtype(const Checkpoint& checkpoint, const LoadOptions& options, bool quantized) {
  if (options.dtype) return *options.dtype;
  bool any_double = false, all_bfloat16 = true;
  for (const auto& [name, entry] : checkpoint.tensors()) {
    if (!c10::isFloatingType(entry->dtype)) continue;
    any_double |= entry->dtype == at::kDouble;
    all_bfloat16 &= entry->dtype == at::kBFloat16;
  }
  if (quantized) return all_bfloat16 ? at::kBFloat16 : at::kFloat;  // packed products take no fp64
  return any_double ? at::kDouble : at::kFloat;
}

// What the parameters will take beside pages of the file itself, which the system may drop: for a quantised model an
// estimate that counts every tensor as a matrix, because it is asked before anything is built.
double parameter_bytes(const Checkpoint& checkpoint, const std::string& quantization, at::ScalarType dtype) {
  const double matrix_bytes = quantization == "int8" ? 1.0 : 9.0 / 16;
  double bytes = 0;
  for (const auto& [name, entry] : checkpoint.tensors()) {
    double elements = 1;
    for (const int64_t size : checkpoint.shape(*entry)) elements *= static_cast<double>(size);
    if (checkpoint.is_quantized(*entry) ? !quantization.empty() : entry->dtype == dtype) continue;
    bytes += elements * (quantization.empty() ? static_cast<double>(c10::elementSize(dtype)) : matrix_bytes);
  }
  return bytes;
}

}  // namespace

std::shared_ptr<models::Model> load(const std::string& path_or_name, const LoadOptions& options) {
  if (options.dtype && !c10::isFloatingType(*options.dtype)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("dtype: expected a floating-point one, got {}", c10::toString(*options.dtype)));
  }
  NamedCheckpoint named(path_or_name, options.config, options.progress);
  Checkpoint& checkpoint = named.checkpoint;
  const std::string quantization = wanted_quantization(checkpoint, options.quantize, options.dtype);
  const at::ScalarType dtype = parameter_dtype(checkpoint, options, !quantization.empty());
  models::require_memory(path_or_name + ": its parameters", parameter_bytes(checkpoint, quantization, dtype),
                         quantization.empty() ? "load it in bf16, int8 or int4" : "use a smaller model");
  const MatchedModel matched = named.match(options.family);
  std::map<std::string, std::string> formats;
  if (!quantization.empty()) formats = matched.model->matrix_formats(quantization);
  const at::NoGradGuard no_grad;
  for (auto& item : tensors_of(*matched.model)) {
    at::Tensor& value = item.value();
    if (const auto format = formats.find(item.key()); format != formats.end()) {
      value.set_requires_grad(false);
      value.set_data(matched.quantized(item.key(), value, format->second));
    } else {
      const at::Tensor found = matched.value(item.key(), value);
      value.set_data(found.to(value.is_floating_point() ? dtype : value.scalar_type()).contiguous());
    }
    // What was converted leaves the memory before the next is.
    if (const auto entry = matched.tensors.find(item.key()); entry != matched.tensors.end())
      checkpoint.release(*entry->second);
  }
  matched.model->eval();
  return matched.model;
}

std::shared_ptr<models::LanguageModel> load_language_model(const std::string& path_or_name,
                                                           const LoadOptions& options) {
  const auto model = load(path_or_name, options);
  auto language_model = std::dynamic_pointer_cast<models::LanguageModel>(model);
  if (!language_model)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: not a language model: it is {}", path_or_name, model->family()));
  return language_model;
}

}  // namespace wkv::zoo
