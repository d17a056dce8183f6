#pragma once
#include <string>

#include "wkv/models/transformer.h"

namespace wkv::models {

// The same options with nothing left to a default. Throws wkv::Error for options that fit no model.
TransformerOptions complete(TransformerOptions options);

// The keys of transformers' LlamaConfig, as a JSON object.
std::string to_config_json(const TransformerOptions& options);

}  // namespace wkv::models
