// RWKV-4 as the Python package transformers has it, and RWKV-5 and 6 as the code in their repositories on the hub does,
// which was made from it: the published tensors under other names. Only the first is in the package, and is written.
// That RWKV-5 leaves the norm behind its op at an eps of 1e-5; ours is the one that its tensors were trained with.
#include "mapping/hub_layout.h"
#include "mapping/hub_names.h"
#include "mapping/rwkv_config.h"

namespace wkv::zoo {
namespace {

constexpr HubName kTransformersOfModel[] = {
    {"rwkv.embeddings.weight", "emb.weight"},
    {"rwkv.ln_out.weight", "ln_out.weight"},
    {"rwkv.ln_out.bias", "ln_out.bias"},
    {"head.weight", "head.weight"},
};

constexpr HubName kTransformersOfBlock[] = {
    {"pre_ln.weight", "ln0.weight"},
    {"pre_ln.bias", "ln0.bias"},
    {"ln1.weight", "ln1.weight"},
    {"ln1.bias", "ln1.bias"},
    {"ln2.weight", "ln2.weight"},
    {"ln2.bias", "ln2.bias"},
    {"attention.key.weight", "att.key.weight"},
    {"attention.value.weight", "att.value.weight"},
    {"attention.receptance.weight", "att.receptance.weight"},
    {"attention.output.weight", "att.output.weight"},
    {"attention.time_decay", "att.time_decay"},
    {"feed_forward.key.weight", "ffn.key.weight"},
    {"feed_forward.value.weight", "ffn.value.weight"},
    {"feed_forward.receptance.weight", "ffn.receptance.weight"},
    // RWKV-4 and 5
    {"attention.time_mix_key", "att.time_mix_k"},
    {"attention.time_mix_value", "att.time_mix_v"},
    {"attention.time_mix_receptance", "att.time_mix_r"},
    {"feed_forward.time_mix_key", "ffn.time_mix_k"},
    {"feed_forward.time_mix_receptance", "ffn.time_mix_r"},
    // RWKV-4
    {"attention.time_first", "att.time_first"},
    // RWKV-5
    {"attention.time_mix_gate", "att.time_mix_g"},
    // RWKV-5 and 6
    {"attention.gate.weight", "att.gate.weight"},
    {"attention.ln_x.weight", "att.ln_x.weight"},
    {"attention.ln_x.bias", "att.ln_x.bias"},
    {"attention.time_faaaa", "att.time_faaaa"},
    // RWKV-6
    {"attention.time_maa_x", "att.time_maa_x"},
    {"attention.time_maa_w", "att.time_maa_w"},
    {"attention.time_maa_k", "att.time_maa_k"},
    {"attention.time_maa_v", "att.time_maa_v"},
    {"attention.time_maa_r", "att.time_maa_r"},
    {"attention.time_maa_g", "att.time_maa_g"},
    {"attention.time_maa_w1", "att.time_maa_w1"},
    {"attention.time_maa_w2", "att.time_maa_w2"},
    {"attention.time_decay_w1", "att.time_decay_w1"},
    {"attention.time_decay_w2", "att.time_decay_w2"},
    {"feed_forward.time_maa_k", "ffn.time_maa_k"},
    {"feed_forward.time_maa_r", "ffn.time_maa_r"},
};

constexpr HubNames kTransformersNames = {"rwkv.blocks.", kTransformersOfModel, kTransformersOfBlock};

bool is_rwkv_transformers(const Checkpoint& file) {
  return file.has("rwkv.embeddings.weight") && file.has("rwkv.blocks.0.attention.time_decay");
}

void read_rwkv_transformers(Checkpoint& file, Config& config) {
  std::vector<TensorEntry> entries;
  for (const auto& [name, entry] : file.tensors()) entries.push_back(kTransformersNames.published(file, name, *entry));
  file.replace(std::move(entries));

  const bool six = file.has("blocks.0.att.time_maa_x"), five = !six && file.has("blocks.0.att.ln_x.weight");
  config.require("model_type", {six ? "rwkv6" : five ? "rwkv5" : "rwkv"});
  config.require("tie_word_embeddings", {"false"});
  config.expect("num_hidden_layers", file.count_blocks("blocks."));
  config.expect("hidden_size", file.shape("emb.weight", 2)[1]);
  config.expect("attention_hidden_size", file.shape("blocks.0.att.key.weight", 2)[0]);
  config.expect("intermediate_size", file.shape("blocks.0.ffn.key.weight", 2)[0]);
  require_ln_eps(config, "layer_norm_epsilon");
  // rescale_every: halves values on the way, which only fp16 needs, and changes no result. num_attention_heads: where
  // it is given it is 64, whatever the number of heads.
  for (const char* of_the_package :
       {"architectures", "auto_map", "bos_token_id", "context_length", "eos_token_id", "model_version",
        "num_attention_heads", "rescale_every", "torch_dtype", "transformers_version", "use_cache"})
    config.accept(of_the_package);
}

nlohmann::ordered_json write_rwkv4_transformers(const nlohmann::json& config, ModelTensors& model,
                                                const std::string& source) {
  kTransformersNames.rename(model, source);
  return {{"architectures", {"RwkvForCausalLM"}},
          {"model_type", "rwkv"},
          {"vocab_size", config.at("vocab_size")},
          {"hidden_size", config.at("n_embd")},
          {"num_hidden_layers", config.at("n_layer")},
          {"attention_hidden_size", config.at("dim_att")},
          {"intermediate_size", config.at("dim_ffn")},
          {"layer_norm_epsilon", 1e-5},
          {"tie_word_embeddings", false},
          {"bos_token_id", 0},
          {"eos_token_id", 0}};
}

}  // namespace

const HubLayout rwkv_transformers_layout = {is_rwkv_transformers, read_rwkv_transformers, "rwkv4",
                                            write_rwkv4_transformers};

}  // namespace wkv::zoo
