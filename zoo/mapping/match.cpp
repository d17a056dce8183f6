#include "mapping/match.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "embedded/embedded.h"
#include "mapping/detect.h"
#include "wkv/error.h"
#include "wkv/zoo/load.h"

namespace wkv::zoo {
namespace {

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

}  // namespace

Checkpoint open_checkpoint(const std::string& path_or_name) {
  return {path_or_name == kEmbeddedModel ? embedded_tensors() : open_tensors(path_or_name), path_or_name};
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

}  // namespace wkv::zoo
