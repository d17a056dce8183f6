// RWKV-4 checkpoints under the published names: the mapping is the identity.
#include "mapping/rwkv4.h"

#include <fmt/format.h>

#include "mapping/family.h"
#include "mapping/rwkv_config.h"
#include "wkv/error.h"

namespace wkv::zoo {

models::RWKV4Options rwkv4_options(const Checkpoint& file, Config& config) {
  models::RWKV4Options o;
  o.layers = file.count_blocks("blocks.");
  o.vocab = file.shape("emb.weight", 2)[0];
  o.width = file.shape("emb.weight", 2)[1];
  o.pre_ffn = file.has_prefix("blocks.0.ffnPre.");
  file.require_shape("blocks.0.ffn.receptance.weight", {o.width, o.width});
  o.ffn_width = file.shape("blocks.0.ffn.key.weight", 2)[0];
  o.attention_width = file.shape(rwkv4_first_time_mix(file) + "key.weight", 2)[0];
  config.expect("version", {"4"});
  expect_sizes(config, o);
  config.expect("dim_att", o.attention_width);
  require_ln_eps(config);
  for (const char* of_other_versions : {"head_size", "n_head", "head_size_divisor", "ln_x_eps"})
    config.accept(of_other_versions);
  for (const char* of_training : {"lr_init", "ctx_len"}) config.accept(of_training);
  return o;
}

std::string rwkv4_first_time_mix(const Checkpoint& file) {
  return file.has_prefix("blocks.0.ffnPre.") ? "blocks.1.att." : "blocks.0.att.";
}

namespace {

bool is_rwkv4(const Checkpoint& file) {
  const std::string att = rwkv4_first_time_mix(file);
  return file.has(att + "time_first") && !file.has(att + "ln_x.weight") && !file.has("convert3.weight") &&
         !file.has_prefix(att + "medium_");
}

// What the two attentions over all tokens look like.
void find_attentions(const Checkpoint& file, models::RWKV4Options& o) {
  const auto find_mask = [&](const std::string& name) {
    o.context = file.shape(name, 2)[0];
    file.require_shape(name, {o.context, o.context});
  };
  for (int64_t layer = 0; layer < o.layers; ++layer) {
    const std::string prefix = fmt::format("blocks.{}.tiny_", layer);
    if (!file.has_prefix(prefix)) continue;
    o.tiny_att_layer = layer;
    o.tiny_att_dim = file.shape(prefix + "q.weight", 2)[0];
    find_mask(prefix + "mask");
  }
  if (file.has("head_q.weight")) {
    o.head_qk = file.shape("head_q.weight", 2)[0];
    find_mask("copy_mask");
  }
}

std::shared_ptr<models::Model> build_rwkv4(const Checkpoint& file, Config& config) {
  models::RWKV4Options o = rwkv4_options(file, config);
  find_attentions(file, o);
  config.expect("pre_ffn", o.pre_ffn ? 1 : 0);
  config.expect("head_qk", o.head_qk);
  config.expect("tiny_att_dim", o.tiny_att_dim);
  if (o.tiny_att_dim > 0) {
    config.expect("tiny_att_layer", o.tiny_att_layer);
  } else {
    config.accept("tiny_att_layer");
  }
  return std::make_shared<models::RWKV4Impl>(o, /*initialise=*/false);
}

std::string rwkv4_name(const std::string& name) { return name; }

}  // namespace

const Family rwkv4_family = {"rwkv4", is_rwkv4, build_rwkv4, rwkv4_name};

}  // namespace wkv::zoo
