// What flash-linear-attention's RWKV-6 and RWKV-7 share.
#pragma once
#include "mapping/hub_layout.h"
#include "mapping/hub_names.h"

namespace wkv::zoo {

inline constexpr std::string_view kFlaBlocks = "model.layers.";

inline constexpr HubName kFlaOfModel[] = {
    {"model.embeddings.weight", "emb.weight"},
    {"model.norm.weight", "ln_out.weight"},
    {"model.norm.bias", "ln_out.bias"},
    {"lm_head.weight", "head.weight"},
};

// Checks the keys that both configurations have, of a file with the published names. Throws wkv::Error:
// unsupported_format for a variant of the package's own (layers of attention, tied embeddings, ...).
void read_fla_config(const Checkpoint& file, Config& config, const char* model_type);

// The same keys, to write. config: the model's own.
nlohmann::ordered_json fla_config(const nlohmann::json& config, const ModelTensors& model, const char* model_type,
                                  const char* architecture);

}  // namespace wkv::zoo
