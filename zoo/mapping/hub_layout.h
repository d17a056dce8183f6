// Other packages' layouts of our families, as the model hub has them: folders with config.json and safetensors. Each is
// the published tensors under other names, some of them transposed or put together (hub_names.h); what these hold is
// read as views of the file's memory and written as views of the model's, but for a few small matrices.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "mapping/checkpoint.h"
#include "mapping/conversion.h"

namespace wkv::zoo {

struct HubLayout {
  // Are these the layout's names? Null, with `read`: the names are the published ones.
  bool (*matches)(const Checkpoint& checkpoint);
  // The tensors under the published names. Of the configuration it reads what that depends on, checks the rest of the
  // package's keys, and fills in what the family reads. Throws wkv::Error.
  void (*read)(Checkpoint& checkpoint, Config& config);
  const char* family;  // of what `write` writes; null: the layout is only read
  nlohmann::ordered_json (*write)(const nlohmann::json& config, ModelTensors& model, const std::string& source);
};

extern const HubLayout rwkv_transformers_layout;
extern const HubLayout rwkv6_fla_layout;
extern const HubLayout rwkv7_fla_layout;
extern const HubLayout rwkv7_prefixed_layout;
extern const HubLayout based_hub_layout;

// Gives a checkpoint in one of these layouts the published names; leaves any other as it is. Throws wkv::Error for a
// known layout's variant that no family is.
void from_hub_layout(Checkpoint& checkpoint, Config& config);

// Renames and reshapes the tensors of a model of this family, from the published names to those of the package that the
// hub has it for: transformers' RWKV-4, flash-linear-attention's RWKV-6 and RWKV-7, BASED's own. Tensors stay views
// wherever that is possible. Returns config.json's content. Throws wkv::Error: unsupported_format for a family or a
// variant that no package's layout has. config: the model's own (models::Model::config_json); source: for messages.
WKV_API nlohmann::ordered_json to_hub_layout(const std::string& family, const nlohmann::json& config,
                                             ModelTensors& model, const std::string& source);

}  // namespace wkv::zoo
