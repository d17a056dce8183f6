// RWKV-4's options: defaults that depend on one another, limits, and upstream's configuration keys.
#include "rwkv4/options.h"

#include <nlohmann/json.hpp>

#include "layers/option_checks.h"

namespace wkv::models {

RWKV4Options complete(RWKV4Options o) {
  const auto at_least = [](const char* name, int64_t value, int64_t least) {
    require_at_least("RWKV4Options", name, value, least);
  };
  at_least("layers", o.layers, 1);
  at_least("width", o.width, 1);
  at_least("attention_width", o.attention_width, 0);
  at_least("ffn_width", o.ffn_width, 0);
  at_least("vocab", o.vocab, 1);
  at_least("tiny_att_dim", o.tiny_att_dim, 0);
  require_in_range("RWKV4Options", "tiny_att_layer", o.tiny_att_layer, 0, o.layers - 1);
  at_least("head_qk", o.head_qk, 0);
  at_least("context", o.context, 1);
  if (o.attention_width == 0) o.attention_width = o.width;
  if (o.ffn_width == 0) o.ffn_width = 4 * o.width;
  return o;
}

std::string to_config_json(const RWKV4Options& o) {
  nlohmann::ordered_json config = {{"version", "4"},         {"n_layer", o.layers},
                                   {"n_embd", o.width},      {"dim_att", o.attention_width},
                                   {"dim_ffn", o.ffn_width}, {"vocab_size", o.vocab}};
  if (o.pre_ffn) config["pre_ffn"] = 1;
  if (o.head_qk > 0) config["head_qk"] = o.head_qk;
  if (o.tiny_att_dim > 0) {
    config["tiny_att_dim"] = o.tiny_att_dim;
    config["tiny_att_layer"] = o.tiny_att_layer;
  }
  return config.dump();
}

}  // namespace wkv::models
