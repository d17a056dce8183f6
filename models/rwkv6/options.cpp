// RWKV-6's options: defaults that depend on one another, limits, and upstream's configuration keys.
#include "rwkv6/options.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "layers/option_checks.h"

namespace wkv::models {

RWKV6Options complete(RWKV6Options options) {
  constexpr const char* kName = "RWKV6Options";
  require_at_least(kName, "layers", options.layers, 1);
  require_at_least(kName, "width", options.width, 1);
  require_at_least(kName, "ffn_width", options.ffn_width, 0);
  require_at_least(kName, "vocab", options.vocab, 1);
  require_heads(kName, options.width, options.head_size);
  if (options.ln_x_eps == 0) options.ln_x_eps = has_gate(options.variant) ? 64e-5 : 1e-5;
  require_positive_eps(kName, options.ln_x_eps);
  if (options.ffn_width == 0) options.ffn_width = gated_ffn_width(options.width);
  const auto fill = [&](const char* name, int64_t& rank, int64_t otherwise) {
    require_at_least(kName, name, rank, 0);
    if (rank == 0) rank = otherwise;
  };
  const bool wide = options.width >= 4096;
  fill("ranks.mix", options.ranks.mix, wide ? 64 : 32);
  fill("ranks.decay", options.ranks.decay, wide ? 128 : 64);
  fill("ranks.gate", options.ranks.gate, 64);
  return options;
}

std::string to_config_json(const RWKV6Options& o) {
  constexpr const char* kVersions[] = {"x060", "x060a", "x060b", "x060c"};
  nlohmann::ordered_json json = {{"version", kVersions[static_cast<size_t>(o.variant)]},
                                 {"n_layer", o.layers},
                                 {"n_embd", o.width},
                                 {"head_size", o.head_size},
                                 {"n_head", o.width / o.head_size},
                                 {"dim_ffn", o.ffn_width},
                                 {"vocab", o.vocab},
                                 {"lora", {{"maa", o.ranks.mix}, {"decay", o.ranks.decay}}},
                                 {"ln_x_eps", o.ln_x_eps}};
  if (o.time_state) json["train_type"] = "states";
  return json.dump();
}

}  // namespace wkv::models
