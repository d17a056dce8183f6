// Adapters of a model (models::Model::add_lora) as a recipe trains and keeps them.
#pragma once
#include <filesystem>
#include <vector>

#include "wkv/models/language_model.h"
#include "wkv/zoo/train.h"

namespace wkv::zoo {

// All adapters, decayed.
std::vector<models::ParameterGroup> adapter_groups(const models::Model& model);

// A .safetensors file with peft's names, base_model.model.<parameter>, and its r, lora_alpha and target_modules in the
// metadata. Throws wkv::Error.
void write_adapter(const std::filesystem::path& path, const models::Model& model, const TrainConfig::Lora& lora);

}  // namespace wkv::zoo
