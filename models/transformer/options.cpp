// The Transformer's options: defaults, limits, and the keys of transformers' configuration.
#include "transformer/options.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "layers/option_checks.h"

namespace wkv::models {
namespace {

// The largest size; products of two of them still fit.
constexpr int64_t kMostOfTransformer = int64_t{1} << 31;

void require_positive(const char* name, double value) {
  if (value > 0) return;  // not NaN
  throw Error(ErrorCode::invalid_argument, fmt::format("TransformerOptions: {} must be above 0, got {}", name, value));
}

}  // namespace

TransformerOptions complete(TransformerOptions o) {
  constexpr const char* kName = "TransformerOptions";
  require_in_range(kName, "layers", o.layers, 1, kMostOfTransformer);
  require_in_range(kName, "width", o.width, 1, kMostOfTransformer);
  require_in_range(kName, "ffn_width", o.ffn_width, 0, kMostOfTransformer);
  require_in_range(kName, "vocab", o.vocab, 1, kMostOfTransformer);
  require_heads(kName, o.width, o.head_size);
  if (o.head_size % 2 != 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: head_size must be even for rotary positions, got {}", kName, o.head_size));
  }
  require_positive("rotary_base", o.rotary_base);
  require_positive("norm_eps", o.norm_eps);
  constexpr int64_t kMultiple = 32;
  if (o.ffn_width == 0) o.ffn_width = (8 * o.width + 3 * kMultiple - 1) / (3 * kMultiple) * kMultiple;
  return o;
}

std::string to_config_json(const TransformerOptions& o) {
  return nlohmann::ordered_json{{"architectures", {"LlamaForCausalLM"}},
                                {"model_type", "llama"},
                                {"num_hidden_layers", o.layers},
                                {"hidden_size", o.width},
                                {"num_attention_heads", o.width / o.head_size},
                                {"num_key_value_heads", o.width / o.head_size},
                                {"head_dim", o.head_size},
                                {"intermediate_size", o.ffn_width},
                                {"vocab_size", o.vocab},
                                {"hidden_act", "silu"},
                                {"rms_norm_eps", o.norm_eps},
                                {"rope_theta", o.rotary_base},
                                {"tie_word_embeddings", false}}
      .dump();
}

}  // namespace wkv::models
