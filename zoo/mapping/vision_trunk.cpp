#include "mapping/vision_trunk.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "io/json_value.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

void expect_flag(Config& config, const char* key, bool found) { config.expect(key, {found ? "true" : "false"}); }

bool has_layer_scale(const Checkpoint& file, const std::string& prefix) { return file.has(prefix + "layers.0.gamma1"); }

// Rows of a square of positions: their root; of anything else a number that is not.
int64_t side_of(int64_t positions) { return std::llround(std::sqrt(static_cast<double>(positions))); }

// What layer scale starts from is of interest to new models only, so that no file tells it.
std::optional<double> read_init_values(const Checkpoint& file, bool layer_scale, bool post_norm, Config& config) {
  const double given = config.number("init_values", std::numeric_limits<double>::quiet_NaN());
  if (layer_scale) return std::isnan(given) ? (post_norm ? 1e-5 : 1.0) : given;
  if (std::isnan(given)) return std::nullopt;
  throw Error(
      ErrorCode::shape_mismatch,
      fmt::format("{}: init_values is {}, but the tensors say that there is no layer scale", file.path(), given));
}

}  // namespace

std::string trunk_prefix(const Checkpoint& file) { return file.has("backbone.pos_embed") ? "backbone." : ""; }

bool is_plain_trunk(const Checkpoint& file, const std::string& att_parameter) {
  const std::string prefix = trunk_prefix(file);
  return file.has(prefix + "layers.0.att." + att_parameter) && file.has(prefix + "patch_embed.projection.weight") &&
         !file.has(prefix + "spm.stem.0.weight");
}

void read_saved_config(const Checkpoint& file, Config& config) {
  const auto found = file.metadata().find(models::kConfigMetadata);
  if (found == file.metadata().end()) return;
  const auto values = parse_json(found->second, fmt::format("{}: the metadata's {}", file.path(), found->first));
  if (!values.is_object())
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: the metadata's {} is no JSON object", file.path(), found->first));
  config.fill(values);
}

bool published_post_norm(const Checkpoint& file, const std::string& prefix, Config& config) {
  return config.text("type", "").empty() && has_layer_scale(file, prefix);
}

models::VisionTrunkOptions read_trunk(const Checkpoint& file, const std::string& prefix, bool post_norm,
                                      Config& config) {
  models::VisionTrunkOptions o;
  const std::vector<int64_t>& patches = file.shape(prefix + "patch_embed.projection.weight", 4);
  o.width = patches[0];
  o.patch_size = patches[2];
  file.require_shape(prefix + "patch_embed.projection.weight", {o.width, 3, o.patch_size, o.patch_size});
  const std::string block = prefix + "layers.0.";
  file.require_shape(block + "att.key.weight", {o.width, o.width});
  const int64_t side = side_of(file.shape(prefix + "pos_embed", 3)[1]);
  file.require_shape(prefix + "pos_embed", {1, side * side, o.width});
  o.image_size = side * o.patch_size;
  o.layers = file.count_blocks(prefix + "layers.");
  o.hidden_rate = std::max<int64_t>(1, file.shape(block + "ffn.key.weight", 2)[0] / o.width);
  file.require_shape(block + "ffn.key.weight", {o.hidden_rate * o.width, o.width});
  o.key_norm = file.has(block + "att.key_norm.weight");
  o.final_norm = file.has(prefix + "ln1.weight");
  o.class_token = file.has(prefix + "cls_token");
  o.post_norm = config.flag("post_norm", post_norm);
  o.init_values = read_init_values(file, has_layer_scale(file, prefix), o.post_norm, config);
  o.output_class_token = config.flag("output_cls_token", false);
  o.out_indices = config.integers("out_indices").value_or(std::vector<int64_t>());
  o.drop_path_rate = config.number("drop_path_rate", 0);
  o.checkpointing = config.flag("with_cp", false);

  config.expect("embed_dims", o.width);
  config.expect("patch_size", o.patch_size);
  config.expect("depth", o.layers);
  config.expect("hidden_rate", o.hidden_rate);
  config.expect("in_channels", 3);
  // Upstream rounds down to whole patches.
  if (config.integer("img_size", o.image_size) / o.patch_size != side) config.expect("img_size", o.image_size);
  expect_flag(config, "key_norm", o.key_norm);
  expect_flag(config, "final_norm", o.final_norm);
  expect_flag(config, "with_cls_token", o.class_token);
  config.require("interpolate_mode", {"bicubic"});
  config.accept("drop_rate");  // 0 in everything published, and without effect on a trained model
  return o;
}

models::ClassifierOptions read_classifier(const Checkpoint& file, int64_t width, Config& config) {
  models::ClassifierOptions o{.classes = 0};
  o.backbone_prefix = !trunk_prefix(file).empty();
  const auto rows = [&](const char* weight) { return file.shape(weight, 2)[0]; };
  if (file.has("head.fc.weight")) {
    o.head = models::ClassifierHead::fc;
    o.classes = rows("head.fc.weight");
    file.require_shape("head.fc.weight", {o.classes, width});
  } else if (file.has("head.0.weight")) {
    o.head = models::ClassifierHead::two_layer;
    o.hidden = rows("head.0.weight");
    o.classes = rows("head.2.weight");
    file.require_shape("head.0.weight", {o.hidden, width});
    file.require_shape("head.2.weight", {o.classes, o.hidden});
    config.expect("hidden_dims", o.hidden);
  } else if (file.has("head.weight")) {
    o.head = models::ClassifierHead::linear;
    o.classes = rows("head.weight");
    file.require_shape("head.weight", {o.classes, width});
  }
  o.preprocessing = config.text("preprocessing", "");
  config.accept("hidden_dims");  // of the L form, whose head has them above 12 blocks only
  config.expect("num_classes", o.classes);
  return o;
}

void expect_generation(Config& config, bool six) {
  const std::string type = config.text("type", "");
  if (!type.empty() && type.starts_with("VRWKV6") != six) config.expect("type", {six ? "VRWKV6" : "VRWKV"});
}

}  // namespace wkv::zoo
