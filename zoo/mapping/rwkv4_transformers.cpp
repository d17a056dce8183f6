// RWKV-4 as the Python package transformers writes it: the same tensors under names of its own.
#include <map>
#include <string>
#include <string_view>

#include "mapping/family.h"
#include "mapping/rwkv4.h"
#include "mapping/rwkv_config.h"

namespace wkv::zoo {
namespace {

bool is_rwkv4_transformers(const Checkpoint& file) {
  return file.has("rwkv.embeddings.weight") && file.has("rwkv.blocks.0.attention.time_first");
}

std::shared_ptr<models::Model> build_rwkv4_transformers(const Checkpoint& file, Config& config) {
  models::RWKV4Options o;
  o.layers = file.count_blocks("rwkv.blocks.");
  o.vocab = file.shape("rwkv.embeddings.weight", 2)[0];
  o.width = file.shape("rwkv.embeddings.weight", 2)[1];
  file.require_shape("rwkv.blocks.0.feed_forward.receptance.weight", {o.width, o.width});
  o.attention_width = file.shape("rwkv.blocks.0.attention.key.weight", 2)[0];
  o.ffn_width = file.shape("rwkv.blocks.0.feed_forward.key.weight", 2)[0];
  config.expect("model_type", {"rwkv"});
  config.expect("num_hidden_layers", o.layers);
  config.expect("hidden_size", o.width);
  config.expect("attention_hidden_size", o.attention_width);
  config.expect("intermediate_size", o.ffn_width);
  config.expect("vocab_size", o.vocab);
  config.expect("tie_word_embeddings", {"false"});
  require_ln_eps(config, "layer_norm_epsilon");
  // rescale_every: halves values on the way, which only fp16 needs, and changes no result.
  for (const char* of_the_package : {"architectures", "bos_token_id", "eos_token_id", "context_length", "rescale_every",
                                     "transformers_version", "torch_dtype", "use_cache"})
    config.accept(of_the_package);
  return std::make_shared<models::RWKV4Impl>(o, /*initialise=*/false);
}

std::string rwkv4_published_name(const std::string& name) {
  static const std::map<std::string, std::string, std::less<>> parts = {
      {"embeddings", "emb"},
      {"pre_ln", "ln0"},
      {"attention", "att"},
      {"feed_forward", "ffn"},
      {"time_mix_key", "time_mix_k"},
      {"time_mix_value", "time_mix_v"},
      {"time_mix_receptance", "time_mix_r"},
  };
  const std::string prefix = "rwkv.";
  std::string_view rest = name;
  if (rest.starts_with(prefix)) rest.remove_prefix(prefix.size());
  std::string result;
  while (true) {
    const std::string_view part = rest.substr(0, rest.find('.'));
    const auto found = parts.find(part);
    result += found == parts.end() ? part : found->second;
    if (part.size() == rest.size()) return result;
    result += '.';
    rest.remove_prefix(part.size() + 1);
  }
}

}  // namespace

const Family rwkv4_transformers_family = {"rwkv4", is_rwkv4_transformers, build_rwkv4_transformers,
                                          rwkv4_published_name};

}  // namespace wkv::zoo
