// RWKV-7 checkpoints under the published names: the mapping is the identity.
#include "wkv/models/rwkv7.h"

#include <fmt/format.h>

#include "mapping/family.h"
#include "mapping/rwkv_config.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

bool is_rwkv7(const Checkpoint& checkpoint) {
  if (!checkpoint.has("blocks.0.att.r_k")) return false;
  const auto refuse = [&](const char* what) {
    throw Error(ErrorCode::unsupported_format, fmt::format("{}: {}", checkpoint.path(), what));
  };
  if (checkpoint.has("blocks.0.qkv.qq.weight"))
    refuse("an rwkv7b model (DeepEmbed and attention): not supported, only plain RWKV-7 is");
  if (checkpoint.has("blocks.0.ffn.s_emb.weight"))
    refuse("an rwkv7a model (DeepEmbed): not supported, only plain RWKV-7 is");
  return true;
}

std::shared_ptr<models::Model> build_rwkv7(const Checkpoint& file, Config& config) {
  models::RWKV7Options o;
  o.layers = file.count_blocks("blocks.");
  o.vocab = file.shape("emb.weight", 2)[0];
  o.width = file.shape("emb.weight", 2)[1];
  file.require_shape("blocks.0.att.key.weight", {o.width, o.width});
  o.head_size = file.shape("blocks.0.att.r_k", 2)[1];
  o.ffn_width = file.shape("blocks.0.ffn.key.weight", 2)[0];
  o.ranks.decay = file.shape("blocks.0.att.w1", 2)[1];
  o.ranks.in_context_rate = file.shape("blocks.0.att.a1", 2)[1];
  o.ranks.gate = file.shape("blocks.0.att.g1", 2)[1];
  o.first_value_residual = file.has("blocks.0.att.v1");
  if (o.layers > 1 || o.first_value_residual) {
    o.ranks.value_residual = file.shape(o.layers > 1 ? "blocks.1.att.v1" : "blocks.0.att.v1", 2)[1];
  }
  o.input_norm = file.has_prefix("blocks.0.ln0.");
  o.head_bias = file.has("head.bias");
  o.block_bias = file.has("blocks.0.att_bias");

  config.expect("version", {"x070", "7"});
  expect_sizes(config, o);
  config.expect("head_size", o.head_size);
  config.expect("n_head", file.shape("blocks.0.att.r_k", 2)[0]);
  Config ranks = config.section("lora");
  ranks.expect("w", o.ranks.decay);
  ranks.expect("a", o.ranks.in_context_rate);
  if (o.ranks.value_residual > 0) {
    ranks.expect("v", o.ranks.value_residual);
  } else {
    ranks.accept("v");  // one layer has no residual of values
  }
  ranks.expect("g", o.ranks.gate);
  o.ln_x_eps = config.number("ln_x_eps", o.ln_x_eps);
  o.time_state = has_time_state(file, config, o.layers);
  return std::make_shared<models::RWKV7Impl>(o, /*initialise=*/false);
}

std::string same_name(const std::string& name) { return name; }

}  // namespace

const Family rwkv7_family = {"rwkv7", is_rwkv7, build_rwkv7, same_name};

}  // namespace wkv::zoo
