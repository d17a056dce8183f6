// BASED's own folders: the published names, and a config.json from which its code builds the model.
#include <fmt/format.h>

#include <cmath>

#include "mapping/hub_layout.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

// What the code multiplies sizes by, and so takes as an integer only.
int64_t expansion(const nlohmann::json& mixer, const std::string& source) {
  const double expansion = mixer.at("expand_proj");
  if (expansion != std::floor(expansion)) {
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: expand_proj is {}, but BASED's code takes an integer", source, expansion));
  }
  return static_cast<int64_t>(expansion);
}

nlohmann::ordered_json write_based(const nlohmann::json& config, ModelTensors& model, const std::string& source) {
  const std::string mixers = "based.models.mixers.";
  const nlohmann::json &gated = config.at("mixer"), &linear = config.at("alt_mixer"),
                       &sliding = config.at("alt_mixer_2");
  nlohmann::ordered_json json = {
      {"model_type", "gpt2"},  // from whose configuration BASED's is derived
      {"activation_function", "swiglu"},
      {"mlp_type", "base"},
      {"n_positions", 0},
      {"max_position_embeddings", 0},
      {"rotary_emb_fraction", 1},
      {"tie_word_embeddings", true},
      {"rms_norm", true},
      {"prenorm", true},
      {"residual_in_fp32", true},
      {"scale_attn_weights", true},
      {"scale_attn_by_inverse_layer_idx", false},
      {"use_flash_attn", true},
      {"resid_pdrop", 0},
      {"embd_pdrop", 0},
      {"attn_pdrop", 0},
  };
  for (const char* absent : {"qkv_proj_bias", "out_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias"}) json[absent] = false;
  for (const auto& [key, value] : config.items()) json[key] = value;
  json["mixer"] = {{"_target_", mixers + "convolution.BaseConv"},
                   {"l_max", 2048},
                   {"use_bias", true},
                   {"expand_proj", expansion(gated, source)},
                   {"kernel_size", gated.at("kernel_size")}};
  json["alt_mixer"] = {
      {"_target_", mixers + "linear_attention.LinearAttention"},
      {"l_max", 2048},
      {"feature_map", {{"_target_", mixers + "linear_attention.TaylorExp"}, {"input_dim", linear.at("feature_dim")}}},
      {"feature_dim", linear.at("feature_dim")},
      {"num_heads", linear.at("num_heads")},
      {"parallel_implementation", "quadratic"}};
  json["alt_mixer_2"] = {{"_target_", mixers + "slide_attention.SlidingAttention"},
                         {"window_size", sliding.at("window_size")},
                         {"num_heads", config.at("n_head")},
                         {"causal", true}};
  // Of the tied pair, the name that the hub's own safetensors have.
  model.tensors["lm_head.weight"] = model.tensors.extract("transformer.embeddings.word_embeddings.weight").mapped();
  return json;
}

}  // namespace

const HubLayout based_hub_layout = {nullptr, nullptr, "based", write_based};

}  // namespace wkv::zoo
