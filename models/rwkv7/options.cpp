// RWKV-7's options: defaults that depend on one another, limits, and upstream's configuration keys.
#include "rwkv7/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "wkv/error.h"

namespace wkv::models {
namespace {

// Rule of the published training code: a multiple of 32 near f * sqrt(width).
int64_t default_rank(int64_t width, double f) {
  const double multiples = std::round(f * std::sqrt(static_cast<double>(width)) / 32);
  return std::max<int64_t>(32, 32 * static_cast<int64_t>(multiples));
}

void require_at_least(const char* name, int64_t value, int64_t least) {
  if (value < least) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("RWKV7Options: {} must be at least {}, got {}", name, least, value));
  }
}

}  // namespace

RWKV7Options complete(RWKV7Options options) {
  require_at_least("layers", options.layers, 1);
  require_at_least("width", options.width, 1);
  require_at_least("head_size", options.head_size, 1);
  require_at_least("vocab", options.vocab, 1);
  require_at_least("ffn_width", options.ffn_width, 0);
  if (options.head_size > 256 || options.width % options.head_size != 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("RWKV7Options: head_size must divide width ({}) and be at most 256, got {}", options.width,
                            options.head_size));
  }
  if (options.ffn_width == 0) options.ffn_width = 4 * options.width;
  const auto fill = [&](const char* name, int64_t& rank, double f) {
    require_at_least(name, rank, 0);
    if (rank == 0) rank = default_rank(options.width, f);
  };
  fill("ranks.decay", options.ranks.decay, 2.5);
  fill("ranks.in_context_rate", options.ranks.in_context_rate, 2.5);
  fill("ranks.value_residual", options.ranks.value_residual, 1.7);
  fill("ranks.gate", options.ranks.gate, 5);
  return options;
}

std::string to_config_json(const RWKV7Options& o) {
  return nlohmann::ordered_json{
      {"version", "x070"},
      {"n_layer", o.layers},
      {"n_embd", o.width},
      {"head_size", o.head_size},
      {"n_head", o.width / o.head_size},
      {"dim_ffn", o.ffn_width},
      {"vocab", o.vocab},
      {"lora",
       {{"w", o.ranks.decay}, {"a", o.ranks.in_context_rate}, {"v", o.ranks.value_residual}, {"g", o.ranks.gate}}},
      {"ln_x_eps", o.ln_x_eps}}
      .dump();
}

}  // namespace wkv::models
