// RWKV-6 checkpoints under the published names: the mapping is the identity.
#include "wkv/models/rwkv6.h"

#include "mapping/family.h"
#include "mapping/rwkv_config.h"

namespace wkv::zoo {
namespace {

using models::RWKV6Variant;

bool is_rwkv6(const Checkpoint& checkpoint) { return checkpoint.has("blocks.0.att.time_maa_x"); }

// Told from the names, but for x060c, whose names are x060b's.
RWKV6Variant rwkv6_variant(const Checkpoint& file, Config& config) {
  const auto expect = [&](RWKV6Variant variant, const std::vector<std::string>& versions) {
    config.expect("version", versions);
    return variant;
  };
  if (file.has("blocks.0.att.time_maa_rkvw_w1")) {
    return expect(config.says("version", "x060c") ? RWKV6Variant::x060c : RWKV6Variant::x060b, {"x060b", "x060c"});
  }
  if (file.has("blocks.0.att.gate_w1")) return expect(RWKV6Variant::x060a, {"x060a"});
  return expect(RWKV6Variant::x060, {"x060", "6", "6.0"});
}

std::shared_ptr<models::Model> build_rwkv6(const Checkpoint& file, Config& config) {
  models::RWKV6Options o;
  o.variant = rwkv6_variant(file, config);
  o.layers = file.count_blocks("blocks.");
  o.vocab = file.shape("emb.weight", 2)[0];
  o.width = file.shape("emb.weight", 2)[1];
  file.require_shape("blocks.0.att.key.weight", {o.width, o.width});
  o.head_size = file.shape("blocks.0.att.time_faaaa", 2)[1];
  o.ffn_width = file.shape("blocks.0.ffn.key.weight", 2)[0];
  const bool five = file.has("blocks.0.att.time_maa_w2");
  o.ranks.mix = file.shape(five ? "blocks.0.att.time_maa_w2" : "blocks.0.att.time_maa_rkvw_w2", 3)[1];
  o.ranks.decay = file.shape("blocks.0.att.time_decay_w1", 2)[1];
  if (o.variant == RWKV6Variant::x060a) o.ranks.gate = file.shape("blocks.0.att.gate_w1", 2)[1];
  o.ln_x_eps = ln_x_eps(config, o.ln_x_eps);
  require_ln_eps(config);
  o.time_state = has_time_state(file, config, o.layers);

  expect_sizes(config, o);
  config.expect("dim_att", o.width);
  config.expect("n_head", file.shape("blocks.0.att.time_faaaa", 2)[0]);
  config.expect("head_size", o.head_size);
  Config ranks = config.section("lora");
  ranks.expect("maa", o.ranks.mix);
  ranks.expect("decay", o.ranks.decay);
  return std::make_shared<models::RWKV6Impl>(o, /*initialise=*/false);
}

std::string rwkv6_parameter(const std::string& name) { return name; }

}  // namespace

const Family rwkv6_family = {"rwkv6", is_rwkv6, build_rwkv6, rwkv6_parameter};

}  // namespace wkv::zoo
