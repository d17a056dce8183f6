// From tensors in a file to a model in memory.
#include "wkv/zoo/load.h"

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "mapping/detect.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

// A module whose parameters still have no particular value, and the tensor of the file for each.
struct MatchedModel {
  std::shared_ptr<models::Model> model;
  const Family* family = nullptr;
  std::map<std::string, const TensorEntry*> tensors;  // by parameter name
  std::vector<std::string> unused;
};

// Shapes that differ in dimensions of size 1 only hold the same vector: upstream's files have both [1, 1, C] and [C].
bool same_but_for_ones(std::vector<int64_t> a, at::IntArrayRef b) {
  std::vector<int64_t> c = b.vec();
  std::erase(a, 1);
  std::erase(c, 1);
  return a == c;
}

std::shared_ptr<models::Model> build(const Family& family, const Checkpoint& checkpoint, Config& config) {
  try {
    return family.build(checkpoint, config);
  } catch (const c10::Error&) {  // sizes that no memory holds; the tensors of a true checkpoint fit the file
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: the sizes that its tensors tell make no model", checkpoint.path()));
  }
}

MatchedModel match(const Checkpoint& checkpoint, const std::string& forced_family, Config& config) {
  MatchedModel matched;
  matched.family = &detect_family(checkpoint, forced_family);
  matched.model = build(*matched.family, checkpoint, config);
  const auto parameters = matched.model->named_parameters();

  std::vector<std::string> problems;
  for (const auto& [name, entry] : checkpoint.tensors()) {
    const std::string parameter_name = matched.family->parameter_name(name);
    if (parameter_name.empty()) {
      matched.unused.push_back(name);
      continue;
    }
    const at::Tensor* parameter = parameters.find(parameter_name);
    if (!parameter) {
      problems.push_back(fmt::format("unexpected: {} [{}]", name, fmt::join(entry->shape, ", ")));
    } else if (!same_but_for_ones(entry->shape, parameter->sizes())) {
      problems.push_back(fmt::format("mis-shaped: {} is [{}], expected [{}]", name, fmt::join(entry->shape, ", "),
                                     fmt::join(parameter->sizes().vec(), ", ")));
    } else if (!c10::isFloatingType(entry->dtype)) {
      problems.push_back(
          fmt::format("{} is of dtype {}, expected a floating-point one", name, c10::toString(entry->dtype)));
    }
    if (parameter && !matched.tensors.emplace(parameter_name, entry).second) {
      problems.push_back(fmt::format("twice: {} and another tensor are both the parameter {}", name, parameter_name));
    }
  }
  for (const auto& parameter : parameters) {
    if (!matched.tensors.contains(parameter.key())) {
      problems.push_back(
          fmt::format("missing: {} [{}]", parameter.key(), fmt::join(parameter.value().sizes().vec(), ", ")));
    }
  }
  if (!problems.empty()) {
    std::ranges::sort(problems);
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("{}: {} of its tensors don't fit {}:\n  {}", checkpoint.path(), problems.size(),
                            matched.family->name, fmt::join(problems, "\n  ")));
  }
  return matched;
}

at::ScalarType parameter_dtype(const MatchedModel& matched, const LoadOptions& options) {
  if (options.dtype) return *options.dtype;
  const bool any_double =
      std::ranges::any_of(matched.tensors, [](const auto& t) { return t.second->dtype == at::kDouble; });
  return any_double ? at::kDouble : at::kFloat;
}

std::shared_ptr<models::Model> load_source(TensorSource source, const std::string& path, const std::string& folder,
                                           const LoadOptions& options) {
  if (options.dtype && !c10::isFloatingType(*options.dtype)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("dtype: expected a floating-point one, got {}", c10::toString(*options.dtype)));
  }
  const Checkpoint checkpoint(std::move(source), path);
  Config config = read_config(options.config, folder);
  const MatchedModel matched = match(checkpoint, options.family, config);
  const at::ScalarType dtype = parameter_dtype(matched, options);
  const at::NoGradGuard no_grad;
  for (auto& parameter : matched.model->named_parameters()) {
    at::Tensor& value = parameter.value();
    value.set_data(as_tensor(*matched.tensors.at(parameter.key())).reshape(value.sizes()).to(dtype).contiguous());
  }
  matched.model->eval();
  return matched.model;
}

std::string folder_of(const std::string& path) { return std::filesystem::is_directory(path) ? path : std::string(); }

std::string guess_tokenizer(int64_t vocab) {
  switch (vocab) {
    case 256:
      return "bytes";
    case 65536:
      return "world";
    case 50277:
      return "gpt-neox-20b";
    default:
      return "";
  }
}

}  // namespace

std::shared_ptr<models::Model> load(const std::string& path, const LoadOptions& options) {
  return load_source(open_tensors(path), path, folder_of(path), options);
}

std::shared_ptr<models::LanguageModel> load_language_model(const std::string& path, const LoadOptions& options) {
  auto model = std::dynamic_pointer_cast<models::LanguageModel>(load(path, options));
  if (!model) throw Error(ErrorCode::invalid_argument, fmt::format("{}: not a language model", path));
  return model;
}

Description describe(const std::string& path, const LoadOptions& options) {
  const Checkpoint checkpoint(open_tensors(path), path);
  Config config = read_config(options.config, folder_of(path));
  const MatchedModel matched = match(checkpoint, options.family, config);

  Description d;
  d.container = checkpoint.container();
  d.family = matched.family->name;
  d.config_json = matched.model->config_json();
  d.unused_tensors = matched.unused;
  d.unknown_config_keys = config.unknown_keys();
  std::map<std::string, int64_t> dtypes;
  for (const auto& parameter : matched.model->named_parameters()) {
    d.parameters += parameter.value().numel();
    dtypes[c10::toString(matched.tensors.at(parameter.key())->dtype)] += parameter.value().numel();
  }
  d.dtypes.assign(dtypes.begin(), dtypes.end());
  std::ranges::sort(d.dtypes, std::greater<>(), [](const auto& dtype) { return dtype.second; });
  if (const auto* language_model = dynamic_cast<const models::LanguageModel*>(matched.model.get())) {
    for (const auto& entry : language_model->initial_state(1).entries)
      d.state_bytes += static_cast<int64_t>(entry.tensor.nbytes());
    d.tokenizer = guess_tokenizer(language_model->vocab_size());
  }
  return d;
}

}  // namespace wkv::zoo
