#include "mapping/match.h"

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "mapping/detect.h"
#include "mapping/hub_layout.h"
#include "wkv/error.h"
#include "wkv/ops.h"
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

bool same_values(const TensorEntry& a, const TensorEntry& b) {
  return a.dtype == b.dtype && a.shape == b.shape && at::equal(as_tensor(a), as_tensor(b));
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

at::Tensor MatchedModel::value(const std::string& name, const at::Tensor& own) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) return own;
  const at::Tensor stored = as_tensor(*found->second);
  // What match() lets pass for a parameter is a floating-point tensor or a quantised matrix.
  const bool is_quantized = own.is_floating_point() && !stored.is_floating_point();
  return (is_quantized ? ops::unpack_linear(stored) : stored).reshape(own.sizes());
}

at::Tensor MatchedModel::quantized(const std::string& name, const at::Tensor& own, const std::string& format) const {
  const auto found = tensors.find(name);
  if (found != tensors.end() && found->second->dtype == at::kByte) return as_tensor(*found->second);
  const at::Tensor dense = value(name, own);
  try {
    return ops::pack_linear(dense.scalar_type() == at::kDouble ? dense.to(at::kFloat) : dense, format);
  } catch (const std::exception& error) {  // weights that are not finite
    throw Error(ErrorCode::unsupported_format, fmt::format("{} can't be quantised: {}", name, error.what()));
  }
}

torch::OrderedDict<std::string, at::Tensor> tensors_of(const models::Model& model) {
  auto tensors = model.named_parameters();
  for (const auto& buffer : model.named_buffers()) tensors.insert(buffer.key(), buffer.value());
  return tensors;
}

MatchedModel match(Checkpoint& checkpoint, const std::string& forced_family, Config& config) {
  from_hub_layout(checkpoint, config);
  MatchedModel matched;
  matched.family = &detect_family(checkpoint, forced_family);
  matched.model = build(*matched.family, checkpoint, config);
  const auto wanted = tensors_of(*matched.model);
  const auto matrices = checkpoint.quantization().empty() ? std::map<std::string, std::string>()
                                                          : matched.model->matrix_formats(checkpoint.quantization());

  std::vector<std::string> problems;
  for (const auto& [name, entry] : checkpoint.tensors()) {
    const std::string own_name = matched.family->own_name(name);
    if (own_name.empty()) {
      matched.unused.push_back(name);
      continue;
    }
    const at::Tensor* tensor = wanted.find(own_name);
    const std::vector<int64_t>& shape = checkpoint.shape(*entry);
    if (!tensor) {
      problems.push_back(fmt::format("unexpected: {} [{}]", name, fmt::join(shape, ", ")));
    } else if (!same_but_for_ones(shape, tensor->sizes())) {
      problems.push_back(fmt::format("mis-shaped: {} is [{}], expected [{}]", name, fmt::join(shape, ", "),
                                     fmt::join(tensor->sizes().vec(), ", ")));
    } else if (checkpoint.is_quantized(*entry)) {
      if (!matrices.contains(own_name)) problems.push_back(fmt::format("{} is quantised, which it never is", name));
    } else if (c10::isFloatingType(entry->dtype) != tensor->is_floating_point()) {
      problems.push_back(fmt::format("{} is of dtype {}, expected {}", name, c10::toString(entry->dtype),
                                     tensor->is_floating_point() ? "a floating-point one" : "an integer one"));
    }
    if (!tensor) continue;
    const auto [before, added] = matched.tensors.emplace(own_name, entry);
    if (added) continue;
    if (!same_values(*before->second, *entry)) {
      problems.push_back(fmt::format("differ: {} and another tensor are both {}", name, own_name));
    } else if (name == own_name) {  // of a tied pair, the name that is the module's own is the one used
      matched.unused.push_back(std::exchange(before->second, entry)->name);
    } else {
      matched.unused.push_back(name);
    }
  }
  for (const auto& item : wanted) {
    if (!matched.tensors.contains(item.key()) && !config.adds(item.key())) {
      problems.push_back(fmt::format("missing: {} [{}]", item.key(), fmt::join(item.value().sizes().vec(), ", ")));
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
