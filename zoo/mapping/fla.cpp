#include "mapping/fla.h"

#include "mapping/rwkv_config.h"

namespace wkv::zoo {

void read_fla_config(const Checkpoint& file, Config& config, const char* model_type) {
  config.require("model_type", {model_type});
  config.require("attn", {"null"});  // layers of attention between the others
  config.require("hidden_act", {"sqrelu"});
  config.require("norm_bias", {"true"});
  config.require("tie_word_embeddings", {"false"});
  require_ln_eps(config, "norm_eps");
  config.expect("norm_first", {file.has("blocks.0.ln0.weight") ? "true" : "false"});
  config.expect("num_hidden_layers", file.count_blocks("blocks."));
  config.expect("hidden_size", file.shape("emb.weight", 2)[1]);
  config.expect("intermediate_size", file.shape("blocks.0.ffn.key.weight", 2)[0]);
  // hidden_ratio: what intermediate_size is made of where that isn't given.
  for (const char* of_the_package :
       {"architectures", "attn_mode", "auto_map", "bos_token_id", "eos_token_id", "fuse_cross_entropy",
        "fuse_linear_cross_entropy", "fuse_norm", "hidden_ratio", "initializer_range", "max_position_embeddings",
        "pad_token_id", "torch_dtype", "transformers_version", "use_cache", "use_l2warp"})
    config.accept(of_the_package);
}

nlohmann::ordered_json fla_config(const nlohmann::json& config, const ModelTensors& model, const char* model_type,
                                  const char* architecture) {
  return {{"architectures", {architecture}},
          {"model_type", model_type},
          {"vocab_size", config.at("vocab")},
          {"hidden_size", config.at("n_embd")},
          {"num_hidden_layers", config.at("n_layer")},
          {"num_heads", config.at("n_head")},
          {"intermediate_size", config.at("dim_ffn")},
          {"hidden_act", "sqrelu"},
          {"norm_first", model.tensors.contains("blocks.0.ln0.weight")},
          {"norm_bias", true},
          {"norm_eps", 1e-5},
          {"tie_word_embeddings", false},
          {"bos_token_id", 0},
          {"eos_token_id", 0}};
}

}  // namespace wkv::zoo
