// RWKV-CLIP checkpoints under the published names: the mapping is the identity.
#include "wkv/models/rwkv_clip.h"

#include <algorithm>
#include <cmath>

#include "mapping/family.h"
#include "mapping/vision_trunk.h"

namespace wkv::zoo {
namespace {

bool is_rwkv_clip(const Checkpoint& checkpoint) {
  return checkpoint.has("text_model.emb.weight") && checkpoint.has("image_model.patch_embed.projection.weight");
}

void read_text_shapes(const Checkpoint& file, models::RWKVCLIPOptions& o) {
  o.vocab = file.shape("text_model.emb.weight", 2)[0];
  o.width = file.shape("text_model.emb.weight", 2)[1];
  file.require_shape("text_model.blocks.0.att.key.weight", {o.width, o.width});
  o.text_layers = file.count_blocks("text_model.blocks.");
  o.text_head_size = file.shape("text_model.blocks.0.att.time_faaaa", 2)[1];
  o.text_ffn_width = file.shape("text_model.blocks.0.ffn.key.weight", 2)[0];
}

// The text tower's width must be the image tower's.
void read_image_shapes(const Checkpoint& file, models::RWKVCLIPOptions& o) {
  o.patch_size = file.shape("image_model.patch_embed.projection.weight", 4)[2];
  file.require_shape("image_model.patch_embed.projection.weight", {o.width, 3, o.patch_size, o.patch_size});
  const auto positions = static_cast<double>(file.shape("image_model.pos_embed", 3)[1]);
  const int64_t side = std::llround(std::sqrt(positions));
  file.require_shape("image_model.pos_embed", {1, side * side, o.width});
  o.image_size = side * o.patch_size;
  file.require_shape("image_model.layers.0.att.key.weight", {o.width, o.width});
  o.image_layers = file.count_blocks("image_model.layers.");
  o.image_heads = file.shape("image_model.layers.0.att.time_faaaa", 2)[0];
  const std::string hidden = "image_model.layers.0.ffn.key.weight";
  o.image_hidden_rate = std::max<int64_t>(1, file.shape(hidden, 2)[0] / o.width);
  file.require_shape(hidden, {o.image_hidden_rate * o.width, o.width});
  o.class_token = file.has("image_model.cls_token");
}

// Keys that shapes don't tell; where they are not given, it is as in every release.
void read_untold(Config& config, models::RWKVCLIPOptions& o) {
  o.output_class_token = config.flag("image_output_cls_token", o.class_token);
  o.drop_path = config.number("drop_path_rate", o.drop_path);
  o.context = config.integer("ctx_len", o.context);
  o.head_size_divisor = config.number("head_size_divisor", o.head_size_divisor);
  o.checkpointing = config.flag("with_cp", o.checkpointing);
  // Upstream rounds down to whole patches.
  const int64_t size = config.integer("input_size", o.image_size);
  if (size / o.patch_size != o.image_size / o.patch_size) config.expect("input_size", o.image_size);
  o.image_size = size;
}

// Keys that shapes tell too; of some a 0 stands for a rule.
void expect_shapes(Config& config, const models::RWKVCLIPOptions& o) {
  config.expect("image_depth", o.image_layers);
  config.expect("image_embed_dims", o.width);
  config.expect("image_patch_size", o.patch_size);
  config.expect("image_hidden_rate", o.image_hidden_rate);
  config.expect("image_num_heads", o.image_heads);
  config.expect("image_with_cls_token", {o.class_token ? "true" : "false"});
  config.expect("vocab_size", o.vocab);
  config.expect("n_layer", o.text_layers);
  config.expect("n_embd", o.width);
  if (config.integer("dim_att", 0) != 0) config.expect("dim_att", o.width);
  if (config.integer("dim_ffn", 0) != 0) config.expect("dim_ffn", o.text_ffn_width);
  if (config.integer("text_num_head", 0) != 0) {  // then head_size says nothing
    config.expect("text_num_head", o.width / o.text_head_size);
    config.accept("head_size");
  } else {
    config.expect("head_size", o.text_head_size);
  }
}

std::shared_ptr<models::Model> build_rwkv_clip(const Checkpoint& file, Config& config) {
  read_saved_config(file, config);
  models::RWKVCLIPOptions o;
  read_text_shapes(file, o);
  read_image_shapes(file, o);
  read_untold(config, o);
  expect_shapes(config, o);
  for (const char* unused_by_releases : {"pos_emb", "head_qk", "tiny_att_dim"})
    config.require(unused_by_releases, {"0"});
  for (const char* of_training : {"workers", "precision", "dropout", "data_type", "text_initialization"})
    config.accept(of_training);
  config.accept("tiny_att_layer");
  return std::make_shared<models::RWKVCLIPImpl>(o, /*initialise=*/false);
}

std::string rwkv_clip_parameter(const std::string& name) { return name; }

}  // namespace

const Family rwkv_clip_family = {"rwkv_clip", is_rwkv_clip, build_rwkv_clip, rwkv_clip_parameter};

}  // namespace wkv::zoo
