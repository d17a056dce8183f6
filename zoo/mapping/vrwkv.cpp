// VRWKV classifiers and backbones under the published names: the mapping is the identity.
#include "wkv/models/vrwkv.h"

#include "mapping/family.h"
#include "mapping/vision_trunk.h"
#include "mapping/vrwkv.h"

namespace wkv::zoo {
namespace {

bool is_vrwkv(const Checkpoint& file) { return is_plain_trunk(file, "spatial_decay"); }

models::VRWKVInit read_init_mode(Config& config) {
  config.require("init_mode", {"fancy", "local", "global"});
  if (config.says("init_mode", "local")) return models::VRWKVInit::local;
  return config.says("init_mode", "global") ? models::VRWKVInit::global : models::VRWKVInit::fancy;
}

// Without the mixes there is no shift; else the distance is the configuration's.
int64_t read_shift(const Checkpoint& file, const std::string& prefix, Config& config) {
  const bool shifts = file.has(prefix + "layers.0.att.spatial_mix_k");
  const int64_t pixels = config.integer("shift_pixel", shifts ? 1 : 0);
  if (shifts != (pixels > 0)) config.expect("shift_pixel", shifts ? 1 : 0);
  return pixels;
}

std::shared_ptr<models::Model> build_vrwkv(const Checkpoint& file, Config& config) {
  read_saved_config(file, config);
  const std::string prefix = trunk_prefix(file);
  models::VRWKVOptions o = read_vrwkv(file, prefix, published_post_norm(file, prefix, config), config);
  o.classifier = read_classifier(file, o.trunk.width, config);
  return std::make_shared<models::VRWKVImpl>(o, /*initialise=*/false);
}

std::string vrwkv_parameter(const std::string& name) { return name; }

}  // namespace

models::VRWKVOptions read_vrwkv(const Checkpoint& file, const std::string& prefix, bool post_norm, Config& config) {
  expect_generation(config, /*six=*/false);
  models::VRWKVOptions o;
  o.trunk = read_trunk(file, prefix, post_norm, config);
  o.shift_pixel = read_shift(file, prefix, config);
  o.channel_gamma = config.number("channel_gamma", o.channel_gamma);
  o.init_mode = read_init_mode(config);
  o.compat_chunks = config.integer("compat_chunks", 0);
  config.require("shift_mode", {"q_shift"});
  return o;
}

const Family vrwkv_family = {"vrwkv", is_vrwkv, build_vrwkv, vrwkv_parameter};

}  // namespace wkv::zoo
