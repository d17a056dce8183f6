// VRWKV6 classifiers and backbones under the published names: the mapping is the identity.
#include "wkv/models/vrwkv6.h"

#include "mapping/family.h"
#include "mapping/vision_trunk.h"
#include "mapping/vrwkv.h"

namespace wkv::zoo {
namespace {

bool is_vrwkv6(const Checkpoint& file) { return is_plain_trunk(file, "time_maa_x"); }

std::shared_ptr<models::Model> build_vrwkv6(const Checkpoint& file, Config& config) {
  read_saved_config(file, config);
  const std::string prefix = trunk_prefix(file);
  models::VRWKV6Options o = read_vrwkv6(file, prefix, published_post_norm(file, prefix, config), config);
  o.classifier = read_classifier(file, o.trunk.width, config);
  return std::make_shared<models::VRWKV6Impl>(o, /*initialise=*/false);
}

std::string vrwkv6_parameter(const std::string& name) { return name; }

}  // namespace

models::VRWKV6Options read_vrwkv6(const Checkpoint& file, const std::string& prefix, bool post_norm, Config& config) {
  expect_generation(config, /*six=*/true);
  models::VRWKV6Options o;
  o.trunk = read_trunk(file, prefix, post_norm, config);
  o.head_size = file.shape(prefix + "layers.0.att.time_faaaa", 2)[1];
  config.expect("num_heads", o.trunk.width / o.head_size);
  config.expect("head_size", o.head_size);
  config.require("init_mode", {"fancy"});
  config.require("shift_mode", {"q_shift_multihead"});
  config.require("shift_pixel", {"1"});
  config.require("channel_gamma", {"0.25"});
  return o;
}

const Family vrwkv6_family = {"vrwkv6", is_vrwkv6, build_vrwkv6, vrwkv6_parameter};

}  // namespace wkv::zoo
