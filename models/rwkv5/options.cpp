// RWKV-5's options: defaults that depend on one another, limits, and upstream's configuration keys.
#include "rwkv5/options.h"

#include <nlohmann/json.hpp>

#include "layers/option_checks.h"

namespace wkv::models {

RWKV5Options complete(RWKV5Options options) {
  constexpr const char* kName = "RWKV5Options";
  require_at_least(kName, "layers", options.layers, 1);
  require_at_least(kName, "width", options.width, 1);
  require_at_least(kName, "attention_width", options.attention_width, 0);
  require_at_least(kName, "ffn_width", options.ffn_width, 0);
  require_at_least(kName, "vocab", options.vocab, 1);
  if (options.attention_width == 0) options.attention_width = options.width;
  require_heads(kName, options.attention_width, options.head_size);
  require_positive_eps(kName, options.ln_x_eps);
  if (options.ffn_width == 0) options.ffn_width = options.gate ? gated_ffn_width(options.width) : 4 * options.width;
  return options;
}

std::string to_config_json(const RWKV5Options& o) {
  nlohmann::ordered_json json = {{"version", !o.gate         ? "5.0"
                                             : o.per_channel ? "5.2"
                                                             : "5.1"},
                                 {"n_layer", o.layers},
                                 {"n_embd", o.width},
                                 {"dim_att", o.attention_width},
                                 {"head_size", o.head_size},
                                 {"n_head", o.attention_width / o.head_size},
                                 {"dim_ffn", o.ffn_width},
                                 {"vocab_size", o.vocab},
                                 {"ln_x_eps", o.ln_x_eps}};
  if (o.time_state) json["train_type"] = "states";
  return json.dump();
}

}  // namespace wkv::models
