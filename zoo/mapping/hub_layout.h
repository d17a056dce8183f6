// Other packages' layouts of our families, folders with config.json and safetensors: what `wkv convert --to hf` writes.
// Reading them is the families' matter (family.h).
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "mapping/conversion.h"

namespace wkv::zoo {

// Renames and reshapes the tensors of a model of this family, from the published names to those of the package that the
// hub has it for: transformers' RWKV-4, flash-linear-attention's RWKV-6 and RWKV-7, BASED's own. Tensors stay views
// wherever that is possible. Returns config.json's content. Throws wkv::Error: unsupported_format for a family or a
// variant that no package's layout has. config: the model's own (models::Model::config_json); source: for messages.
nlohmann::ordered_json to_hub_layout(const std::string& family, const nlohmann::json& config, ModelTensors& model,
                                     const std::string& source);

}  // namespace wkv::zoo
