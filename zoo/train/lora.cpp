#include "train/lora.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

bool is_adapter(const std::string& name) {
  return name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight");
}

}  // namespace

std::vector<models::ParameterGroup> adapter_groups(const models::Model& model) {
  models::ParameterGroup group{.names = {}, .weight_decay = true};
  for (const auto& parameter : model.named_parameters())
    if (is_adapter(parameter.key())) group.names.push_back(parameter.key());
  return {group};
}

void write_adapter(const std::filesystem::path& path, const models::Model& model, const TrainConfig::Lora& lora) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& parameter : model.named_parameters())
    if (is_adapter(parameter.key())) tensors.emplace_back("base_model.model." + parameter.key(), parameter.value());
  write_safetensors(path, tensors,
                    {{"peft_type", "LORA"},
                     {"r", fmt::format("{}", lora.rank)},
                     {"lora_alpha", fmt::format("{}", lora.alpha)},
                     {"target_modules", nlohmann::json(lora.targets).dump()}});
}

}  // namespace wkv::zoo
