// RWKV-CLIP checkpoints under the published names: the mapping is the identity.
#include "wkv/models/rwkv_clip.h"

#include <fmt/format.h>

#include <cmath>

#include "mapping/family.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

bool is_rwkv_clip(const Checkpoint& checkpoint) {
  return checkpoint.has("text_model.emb.weight") && checkpoint.has("image_model.patch_embed.projection.weight");
}

[[noreturn]] void refuse(const Checkpoint& file, const std::string& what) {
  throw Error(ErrorCode::shape_mismatch, fmt::format("{}: {}", file.path(), what));
}

// A key for which 0 stands for a rule.
void expect_or_zero(Config& config, const std::string& key, int64_t found) {
  if (config.integer(key, 0) != 0) config.expect(key, found);
}

void read_text_shapes(const Checkpoint& file, models::RWKVCLIPOptions& o) {
  o.vocab = file.shape("text_model.emb.weight", 2)[0];
  o.width = file.shape("text_model.emb.weight", 2)[1];
  file.require_shape("text_model.blocks.0.att.key.weight", {o.width, o.width});
  o.text_layers = file.count_blocks("text_model.blocks.");
  o.text_head_size = file.shape("text_model.blocks.0.att.time_faaaa", 2)[1];
  o.text_ffn_width = file.shape("text_model.blocks.0.ffn.key.weight", 2)[0];
}

void read_image_shapes(const Checkpoint& file, models::RWKVCLIPOptions& o) {
  o.patch_size = file.shape("image_model.patch_embed.projection.weight", 4)[2];
  file.require_shape("image_model.patch_embed.projection.weight", {o.width, 3, o.patch_size, o.patch_size});
  const int64_t positions = file.shape("image_model.pos_embed", 3)[1];
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(positions))));
  if (side * side != positions)
    refuse(file, fmt::format("image_model.pos_embed must be a square's, got {}", positions));
  o.image_size = side * o.patch_size;
  file.require_shape("image_model.layers.0.att.key.weight", {o.width, o.width});
  o.image_layers = file.count_blocks("image_model.layers.");
  o.image_heads = file.shape("image_model.layers.0.att.time_faaaa", 2)[0];
  const int64_t hidden = file.shape("image_model.layers.0.ffn.key.weight", 2)[0];
  if (hidden % o.width != 0)
    refuse(file,
           fmt::format("image_model.layers.0.ffn.key.weight must have a multiple of {} rows, got {}", o.width, hidden));
  o.image_hidden_rate = hidden / o.width;
  o.class_token = o.output_class_token = file.has("image_model.cls_token");
}

// What upstream's code has and no release uses.
void refuse_unused(Config& config) {
  for (const char* key : {"pos_emb", "head_qk", "tiny_att_dim"}) config.require(key, {"0"});
  config.require("dropout", {"0", "0.0"});
  config.accept("tiny_att_layer");
}

void read_text_config(Config& config, models::RWKVCLIPOptions& o) {
  config.expect("n_layer", o.text_layers);
  config.expect("n_embd", o.width);
  expect_or_zero(config, "dim_att", o.width);
  expect_or_zero(config, "dim_ffn", o.text_ffn_width);
  config.expect("vocab_size", o.vocab);
  const int64_t heads = config.integer("text_num_head", 0);
  if (heads != 0) {  // then head_size says nothing
    config.expect("text_num_head", o.width / o.text_head_size);
    config.accept("head_size");
  } else {
    config.expect("head_size", o.text_head_size);
  }
}

void read_image_config(Config& config, models::RWKVCLIPOptions& o) {
  config.expect("image_depth", o.image_layers);
  config.expect("image_embed_dims", o.width);
  config.expect("image_patch_size", o.patch_size);
  config.expect("image_hidden_rate", o.image_hidden_rate);
  config.expect("image_num_heads", o.image_heads);
  config.expect("image_with_cls_token", {o.class_token ? "true" : "false"});
}

// What a file that this library wrote says of its model.
Config stored_config(const Checkpoint& file) {
  const auto found = file.metadata().find(models::RWKVCLIPImpl::kConfigMetadata);
  if (found == file.metadata().end()) return {};
  nlohmann::json values = nlohmann::json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  const std::string where = fmt::format("{}, metadata {}", file.path(), found->first);
  if (!values.is_object()) throw Error(ErrorCode::corrupt_file, where + ": not a JSON object");
  return {std::move(values), where};
}

// Keys that shapes don't tell: from the configuration, else from what the file says of itself, else as in every
// release.
void read_untold(Config& config, Config& stored, models::RWKVCLIPOptions& o) {
  // Any size at which the table of positions is this one: it need not be a multiple of the patch's.
  const int64_t size = config.integer("input_size", stored.integer("input_size", o.image_size));
  if (size / o.patch_size != o.image_size / o.patch_size) config.expect("input_size", o.image_size);
  o.image_size = size;
  const bool released = o.class_token;
  o.output_class_token = config.flag("image_output_cls_token", stored.flag("image_output_cls_token", released));
  o.drop_path = config.number("drop_path_rate", stored.number("drop_path_rate", o.drop_path));
  o.context = config.integer("ctx_len", stored.integer("ctx_len", o.context));
  o.head_size_divisor = config.number("head_size_divisor", stored.number("head_size_divisor", o.head_size_divisor));
  o.checkpointing = config.flag("with_cp", stored.flag("with_cp", o.checkpointing));
}

std::shared_ptr<models::Model> build_rwkv_clip(const Checkpoint& file, Config& config) {
  models::RWKVCLIPOptions o;
  read_text_shapes(file, o);
  read_image_shapes(file, o);
  Config stored = stored_config(file);
  read_untold(config, stored, o);
  read_text_config(config, o);
  read_image_config(config, o);
  refuse_unused(config);
  for (const char* key : {"workers", "precision", "data_type", "text_initialization"}) config.accept(key);
  return std::make_shared<models::RWKVCLIPImpl>(o, /*initialise=*/false);
}

std::string rwkv_clip_parameter(const std::string& name) { return name; }

}  // namespace

const Family rwkv_clip_family = {"rwkv_clip", is_rwkv_clip, build_rwkv_clip, rwkv_clip_parameter};

}  // namespace wkv::zoo
