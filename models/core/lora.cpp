#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "layers/linear.h"
#include "wkv/error.h"
#include "wkv/models/model.h"

namespace wkv::models {
namespace {

bool names_matrix(const std::string& target, const std::string& name) {
  return name == target || name.ends_with("." + target);
}

}  // namespace

void Model::add_lora(int64_t rank, double alpha, const std::vector<std::string>& targets) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: {}", family(), why));
  };
  if (rank < 1) refuse(fmt::format("the rank of adapters must be at least 1, got {}", rank));
  if (quantized()) refuse("is quantised, for inference only: load it in fp32 or bf16 to adapt it");
  std::vector<std::pair<std::string, Linear*>> matrices;
  for (const auto& module : named_modules({}, /*include_self=*/false)) {
    auto* const linear = dynamic_cast<Linear*>(module.value().get());
    if (linear == nullptr) continue;
    if (linear->adapted()) refuse("is adapted already");
    matrices.emplace_back(module.key(), linear);
  }
  for (const std::string& target : targets) {
    if (std::ranges::none_of(matrices, [&](const auto& matrix) { return names_matrix(target, matrix.first); }))
      refuse(fmt::format("has no matrix {}: expected the end of a name such as {}", target,
                         matrices.empty() ? "" : matrices.front().first));
  }
  for (auto& parameter : parameters()) parameter.set_requires_grad(false);
  for (const auto& [name, linear] : matrices) {
    const bool wanted = targets.empty() ? name.find('.') != std::string::npos
                                        : std::ranges::any_of(targets, [&, &own_name = name](const auto& target) {
                                            return names_matrix(target, own_name);
                                          });
    if (wanted) linear->adapt(rank, alpha);
  }
}

void Model::merge_lora() {
  for (const auto& module : modules(/*include_self=*/false)) {
    auto* const linear = dynamic_cast<Linear*>(module.get());
    if (linear != nullptr && linear->adapted()) linear->merge();
  }
}

}  // namespace wkv::models
