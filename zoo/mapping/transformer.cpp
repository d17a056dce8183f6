// Transformers under the names that transformers gives LLaMA: the mapping is the identity.
#include "wkv/models/transformer.h"

#include <fmt/format.h>

#include "mapping/family.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

const std::string kTransformerLayer = "model.layers.0.";

bool is_transformer(const Checkpoint& file) {
  return file.has(kTransformerLayer + "self_attn.q_proj.weight") &&
         file.has(kTransformerLayer + "mlp.gate_proj.weight") && file.has(kTransformerLayer + "input_layernorm.weight");
}

// Relatives of LLaMA, which have its names and a few more.
void refuse_transformer_variants(const Checkpoint& file) {
  for (const auto& [name, tensor] : file.tensors()) {
    const auto refuse = [&, &own = name](const char* what) {
      throw Error(ErrorCode::unsupported_format, fmt::format("{}: {}: not supported: {}", file.path(), own, what));
    };
    if (name.ends_with("_proj.bias")) refuse("projections with biases");
    if (name.ends_with("_norm.weight")) refuse("norms of queries and keys");
    if (name.ends_with("_feedforward_layernorm.weight")) refuse("norms behind the branches");
  }
}

// Settings that other values of make another model.
void require_transformer_settings(Config& config) {
  config.require("model_type", {"llama"});
  config.require("hidden_act", {"silu"});
  for (const char* key : {"attention_bias", "mlp_bias", "tie_word_embeddings"}) config.require(key, {"false"});
  for (const char* key : {"pretraining_tp", "partial_rotary_factor"}) config.require(key, {"1", "1.0"});
}

// rope_theta, which newer configurations have in a section; scaled positions are refused.
double rotary_base(Config& config, double otherwise) {
  Config rotation = config.section("rope_parameters"), scaling = config.section("rope_scaling");
  for (Config* section : {&rotation, &scaling})
    for (const char* key : {"rope_type", "type"}) section->require(key, {"default"});
  return rotation.number("rope_theta", config.number("rope_theta", otherwise));
}

// Keys that say how the model is trained, generated from and stored, not what it is.
void accept_transformer_keys(Config& config) {
  for (const char* key : {"_name_or_path",
                          "architectures",
                          "attention_dropout",
                          "bos_token_id",
                          "chunk_size_feed_forward",
                          "dtype",
                          "eos_token_id",
                          "id2label",
                          "initializer_range",
                          "is_encoder_decoder",
                          "label2id",
                          "max_position_embeddings",
                          "output_attentions",
                          "output_hidden_states",
                          "pad_token_id",
                          "problem_type",
                          "return_dict",
                          "torch_dtype",
                          "transformers_version",
                          "use_cache"})
    config.accept(key);
}

std::shared_ptr<models::Model> build_transformer(const Checkpoint& file, Config& config) {
  refuse_transformer_variants(file);
  models::TransformerOptions o;
  const std::vector<int64_t>& embedding = file.shape("model.embed_tokens.weight", 2);
  o.vocab = embedding[0];
  o.width = embedding[1];
  o.layers = file.count_blocks("model.layers.");
  file.require_shape(kTransformerLayer + "self_attn.q_proj.weight", {o.width, o.width});
  const std::string key = kTransformerLayer + "self_attn.k_proj.weight";
  if (const int64_t rows = file.shape(key, 2)[0]; rows != o.width) {
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: {}: not supported: keys that heads share ({} rows for a width of {})", file.path(),
                            key, rows, o.width));
  }
  o.ffn_width = file.shape(kTransformerLayer + "mlp.gate_proj.weight", 2)[0];
  file.require_shape(kTransformerLayer + "mlp.down_proj.weight", {o.width, o.ffn_width});
  file.require_shape("lm_head.weight", {o.vocab, o.width});

  const int64_t heads = config.integer("num_attention_heads", 0);
  if (heads < 1 || o.width % (2 * heads) != 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: num_attention_heads, which shapes don't tell but config.json does, must divide the "
                            "width {} into heads of an even size, got {}",
                            file.path(), o.width, heads));
  }
  o.head_size = o.width / heads;
  config.expect("num_key_value_heads", heads);
  config.expect("head_dim", o.head_size);
  config.expect("num_hidden_layers", o.layers);
  config.expect("hidden_size", o.width);
  config.expect("intermediate_size", o.ffn_width);
  config.expect("vocab_size", o.vocab);
  o.norm_eps = config.number("rms_norm_eps", o.norm_eps);
  o.rotary_base = rotary_base(config, o.rotary_base);
  require_transformer_settings(config);
  accept_transformer_keys(config);
  return std::make_shared<models::TransformerImpl>(o, /*initialise=*/false);
}

std::string transformer_name(const std::string& name) {
  return name.ends_with(".rotary_emb.inv_freq") ? "" : name;  // a table that older files have and the model computes
}

}  // namespace

const Family transformer_family = {"transformer", is_transformer, build_transformer, transformer_name};

}  // namespace wkv::zoo
