// RWKV-4's options: defaults that depend on one another, limits, and upstream's configuration keys.
#include "rwkv4/options.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "wkv/error.h"

namespace wkv::models {

RWKV4Options complete(RWKV4Options o) {
  const auto require = [](const char* name, int64_t value, int64_t least, int64_t most) {
    if (value < least || value > most) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("RWKV4Options: {} must be in {}..{}, got {}", name, least, most, value));
    }
  };
  constexpr int64_t kAny = int64_t{1} << 40;
  require("layers", o.layers, 1, kAny);
  require("width", o.width, 1, kAny);
  require("attention_width", o.attention_width, 0, kAny);
  require("ffn_width", o.ffn_width, 0, kAny);
  require("vocab", o.vocab, 1, kAny);
  require("tiny_att_dim", o.tiny_att_dim, 0, kAny);
  require("tiny_att_layer", o.tiny_att_layer, 0, o.layers - 1);
  require("head_qk", o.head_qk, 0, kAny);
  require("context", o.context, 1, kAny);
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
