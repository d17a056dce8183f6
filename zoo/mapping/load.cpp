// From tensors in a file to a model in memory.
#include "wkv/zoo/load.h"

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <algorithm>

#include "mapping/match.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

at::ScalarType parameter_dtype(const MatchedModel& matched, const LoadOptions& options) {
  if (options.dtype) return *options.dtype;
  const bool any_double =
      std::ranges::any_of(matched.tensors, [](const auto& t) { return t.second->dtype == at::kDouble; });
  return any_double ? at::kDouble : at::kFloat;
}

}  // namespace

std::shared_ptr<models::Model> load(const std::string& path, const LoadOptions& options) {
  if (options.dtype && !c10::isFloatingType(*options.dtype)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("dtype: expected a floating-point one, got {}", c10::toString(*options.dtype)));
  }
  Checkpoint checkpoint = open_checkpoint(path);
  Config config = read_config(options.config, path);
  const MatchedModel matched = match(checkpoint, options.family, config);
  const at::ScalarType dtype = parameter_dtype(matched, options);
  const at::NoGradGuard no_grad;
  for (auto& item : tensors_of(*matched.model)) {
    at::Tensor& value = item.value();
    const at::Tensor found = matched.value(item.key(), value);
    value.set_data(found.to(value.is_floating_point() ? dtype : value.scalar_type()).contiguous());
    // What was converted leaves the memory before the next is.
    if (const auto entry = matched.tensors.find(item.key()); entry != matched.tensors.end())
      checkpoint.release(*entry->second);
  }
  matched.model->eval();
  return matched.model;
}

std::shared_ptr<models::LanguageModel> load_language_model(const std::string& path, const LoadOptions& options) {
  auto model = std::dynamic_pointer_cast<models::LanguageModel>(load(path, options));
  if (!model) throw Error(ErrorCode::invalid_argument, fmt::format("{}: not a language model", path));
  return model;
}

}  // namespace wkv::zoo
