// RWKV-7's options: defaults that depend on one another, limits, and upstream's configuration keys.
#include "rwkv7/options.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "layers/option_checks.h"

namespace wkv::models {
namespace {

// Rule of the published training code: a multiple of 32 near f * sqrt(width).
int64_t default_rank(int64_t width, double f) {
  const double multiples = std::round(f * std::sqrt(static_cast<double>(width)) / 32);
  return std::max<int64_t>(32, 32 * static_cast<int64_t>(multiples));
}

}  // namespace

RWKV7Options complete(RWKV7Options options) {
  constexpr const char* kName = "RWKV7Options";
  require_at_least(kName, "layers", options.layers, 1);
  require_at_least(kName, "width", options.width, 1);
  require_at_least(kName, "vocab", options.vocab, 1);
  require_at_least(kName, "ffn_width", options.ffn_width, 0);
  require_heads(kName, options.width, options.head_size);
  require_positive_eps(kName, options.ln_x_eps);
  if (options.ffn_width == 0) options.ffn_width = 4 * options.width;
  const auto fill = [&](const char* name, int64_t& rank, double f) {
    require_at_least(kName, name, rank, 0);
    if (rank == 0) rank = default_rank(options.width, f);
  };
  fill("ranks.decay", options.ranks.decay, 2.5);
  fill("ranks.in_context_rate", options.ranks.in_context_rate, 2.5);
  fill("ranks.value_residual", options.ranks.value_residual, 1.7);
  fill("ranks.gate", options.ranks.gate, 5);
  return options;
}

std::string to_config_json(const RWKV7Options& o) {
  nlohmann::ordered_json json = {
      {"version", "x070"},
      {"n_layer", o.layers},
      {"n_embd", o.width},
      {"head_size", o.head_size},
      {"n_head", o.width / o.head_size},
      {"dim_ffn", o.ffn_width},
      {"vocab", o.vocab},
      {"lora",
       {{"w", o.ranks.decay}, {"a", o.ranks.in_context_rate}, {"v", o.ranks.value_residual}, {"g", o.ranks.gate}}},
      {"ln_x_eps", o.ln_x_eps}};
  if (o.time_state) json["train_type"] = "states";
  return json.dump();
}

}  // namespace wkv::models
