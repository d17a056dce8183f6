#pragma once
#include <string>

#include "wkv/models/based.h"

namespace wkv::models {

// The same options with nothing left to a default. Throws wkv::Error for options that fit no model.
BasedOptions complete(BasedOptions options);

// Upstream's configuration keys, as a JSON object.
std::string to_config_json(const BasedOptions& options);

enum class BasedMixing { convolution, linear_attention, sliding_attention };
BasedMixing mixing_of_layer(const BasedOptions& options, int64_t layer);

// Rows of the embedding and head.
int64_t padded_vocab(const BasedOptions& options);

// Keys and values that sliding attention keeps.
inline int64_t window_rows(const BasedOptions& options) { return options.window / 2 + 1; }

}  // namespace wkv::models
