// RWKV-5 checkpoints (5.0, 5.1, 5.2) under the published names: the mapping is the identity.
#include "wkv/models/rwkv5.h"

#include <fmt/format.h>

#include "mapping/family.h"
#include "mapping/rwkv_config.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

bool is_rwkv5(const Checkpoint& checkpoint) {
  return checkpoint.has("blocks.0.att.ln_x.weight") && checkpoint.has("blocks.0.att.time_mix_k");
}

std::vector<std::string> rwkv5_versions(const models::RWKV5Options& o) {
  if (!o.gate) return {"5.0", "5"};
  if (!o.per_channel) return {"5.1", "5"};
  return {"5.2", "5", "x052"};
}

std::shared_ptr<models::Model> build_rwkv5(const Checkpoint& file, Config& config) {
  models::RWKV5Options o;
  o.layers = file.count_blocks("blocks.");
  o.vocab = file.shape("emb.weight", 2)[0];
  o.width = file.shape("emb.weight", 2)[1];
  file.require_shape("blocks.0.ffn.receptance.weight", {o.width, o.width});
  o.attention_width = file.shape("blocks.0.att.key.weight", 2)[0];
  file.require_shape("blocks.0.att.key.weight", {o.attention_width, o.width});
  o.ffn_width = file.shape("blocks.0.ffn.key.weight", 2)[0];
  o.gate = file.has("blocks.0.att.gate.weight");
  o.exponential_bonus = file.has("blocks.0.att.time_first");
  const std::vector<int64_t>& decay = file.shape("blocks.0.att.time_decay");  // [H], [H, 1] or [H, N]
  if (decay.empty() || decay[0] == 0 || o.attention_width % decay[0] != 0) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("{}: blocks.0.att.time_decay must have a row for each of the heads that share {} channels",
                            file.path(), o.attention_width));
  }
  o.head_size = o.attention_width / decay[0];
  o.per_channel = decay.size() == 2 && decay[1] > 1;
  o.ln_x_eps = ln_x_eps(config, o.ln_x_eps);
  require_ln_eps(config);

  config.expect("version", rwkv5_versions(o));
  expect_sizes(config, o);
  config.expect("dim_att", o.attention_width);
  config.expect("n_head", decay[0]);
  config.expect("head_size", o.head_size);
  o.time_state = has_time_state(file, config, o.layers);
  return std::make_shared<models::RWKV5Impl>(o, /*initialise=*/false);
}

std::string rwkv5_parameter(const std::string& name) { return name; }

}  // namespace

const Family rwkv5_family = {"rwkv5", is_rwkv5, build_rwkv5, rwkv5_parameter};

}  // namespace wkv::zoo
