#include "train/new_vision_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mapping/checkpoint.h"
#include "wkv/error.h"
#include "wkv/models/vrwkv.h"
#include "wkv/models/vrwkv6.h"

namespace wkv::zoo {
namespace {

[[noreturn]] void refuse_config(const std::string& message) {
  throw Error(ErrorCode::invalid_argument, "model.config: " + message);
}

Config config_of(const TrainConfig::Model& model) {
  if (model.config.empty()) refuse_config(fmt::format("missing: a new {} takes its sizes from there", model.family));
  return read_config(model.config, "");
}

void require_all_known(const Config& config, const std::string& family) {
  const auto unknown = config.unknown_keys();
  if (!unknown.empty()) refuse_config(fmt::format("{} has no key {}", family, fmt::join(unknown, ", ")));
}

// A key that says what is known otherwise.
void require_same(Config& config, const char* key, int64_t value, const char* source) {
  const int64_t given = config.integer(key, value);
  if (given != value) refuse_config(fmt::format("{} is {}, but {} {}", key, given, source, value));
}

models::VisionTrunkOptions read_new_trunk(Config& config) {
  models::VisionTrunkOptions o;
  o.image_size = config.integer("img_size", o.image_size);
  o.patch_size = config.integer("patch_size", o.patch_size);
  o.width = config.integer("embed_dims", o.width);
  o.layers = config.integer("depth", o.layers);
  o.hidden_rate = config.integer("hidden_rate", o.hidden_rate);
  o.post_norm = config.flag("post_norm", o.post_norm);
  constexpr double kNone = -1;
  if (const double gamma = config.number("init_values", kNone); gamma != kNone) o.init_values = gamma;
  o.key_norm = config.flag("key_norm", o.key_norm);
  o.final_norm = config.flag("final_norm", o.final_norm);
  o.class_token = config.flag("with_cls_token", o.class_token);
  o.output_class_token = config.flag("output_cls_token", o.output_class_token);
  o.out_indices = config.integers("out_indices").value_or(std::vector<int64_t>());
  o.drop_path_rate = config.number("drop_path_rate", o.drop_path_rate);
  o.checkpointing = config.flag("with_cp", o.checkpointing);
  require_same(config, "in_channels", 3, "images have");
  config.require("interpolate_mode", {"bicubic"});
  return o;
}

models::ClassifierOptions new_head(Config& config, int64_t classes, const std::string& pipeline, int64_t image_size) {
  require_same(config, "num_classes", classes, "the number of labels is");
  models::ClassifierOptions o{.classes = classes};
  o.preprocessing = !pipeline.empty() ? pipeline : image_size == 224 ? "mm224" : fmt::format("vl{}", image_size);
  return o;
}

models::VRWKVOptions read_new_vrwkv(Config& config) {
  models::VRWKVOptions o{.trunk = read_new_trunk(config)};
  config.require("type", {"VRWKV"});
  o.shift_pixel = config.integer("shift_pixel", o.shift_pixel);
  o.channel_gamma = config.number("channel_gamma", o.channel_gamma);
  config.require("init_mode", {"fancy", "local", "global"});
  if (config.says("init_mode", "local")) o.init_mode = models::VRWKVInit::local;
  if (config.says("init_mode", "global")) o.init_mode = models::VRWKVInit::global;
  o.compat_chunks = config.integer("compat_chunks", o.compat_chunks);
  return o;
}

models::VRWKV6Options read_new_vrwkv6(Config& config) {
  models::VRWKV6Options o{.trunk = read_new_trunk(config)};
  config.require("type", {"VRWKV6"});
  const int64_t heads = config.integer("num_heads", 0);
  o.head_size = heads > 0 ? o.trunk.width / heads : config.integer("head_size", o.head_size);
  if (heads > 0) require_same(config, "head_size", o.head_size, "embed_dims / num_heads is");
  return o;
}

models::RWKVCLIPOptions read_new_rwkv_clip(Config& config, int64_t vocab) {
  models::RWKVCLIPOptions o;
  o.image_size = config.integer("input_size", o.image_size);
  o.patch_size = config.integer("image_patch_size", o.patch_size);
  o.image_layers = config.integer("image_depth", o.image_layers);
  o.image_heads = config.integer("image_num_heads", o.image_heads);
  o.image_hidden_rate = config.integer("image_hidden_rate", o.image_hidden_rate);
  o.class_token = config.flag("image_with_cls_token", o.class_token);
  o.output_class_token = config.flag("image_output_cls_token", o.output_class_token);
  o.drop_path = config.number("drop_path_rate", o.drop_path);
  o.context = config.integer("ctx_len", o.context);
  o.vocab = vocab;
  require_same(config, "vocab_size", vocab, "the tokenizer's is");
  o.width = config.integer("n_embd", o.width);
  require_same(config, "image_embed_dims", o.width, "n_embd is");
  if (config.integer("dim_att", 0) != 0) require_same(config, "dim_att", o.width, "n_embd is");
  o.text_layers = config.integer("n_layer", o.text_layers);
  o.text_head_size = config.integer("head_size", o.text_head_size);
  if (const int64_t heads = config.integer("text_num_head", 0); heads > 0) o.text_head_size = o.width / heads;
  o.text_ffn_width = config.integer("dim_ffn", o.text_ffn_width);
  o.head_size_divisor = config.number("head_size_divisor", o.head_size_divisor);
  o.checkpointing = config.flag("with_cp", o.checkpointing);
  return o;
}

}  // namespace

std::vector<std::string> new_vision_model_families() { return {"vrwkv", "vrwkv6", "rwkv_clip"}; }

std::shared_ptr<models::VisionModel> new_classifier(const TrainConfig::Model& model, int64_t classes,
                                                    const std::string& pipeline) {
  Config config = config_of(model);
  const auto finish = [&](auto& options) {
    options.classifier = new_head(config, classes, pipeline, options.trunk.image_size);
    require_all_known(config, model.family);
  };
  if (model.family == "vrwkv6") {
    auto options = read_new_vrwkv6(config);
    finish(options);
    return models::VRWKV6(options).ptr();
  }
  auto options = read_new_vrwkv(config);
  finish(options);
  return models::VRWKV(options).ptr();
}

std::shared_ptr<models::RWKVCLIPImpl> new_rwkv_clip(const TrainConfig::Model& model, int64_t vocab) {
  Config config = config_of(model);
  const auto options = read_new_rwkv_clip(config, vocab);
  require_all_known(config, model.family);
  return models::RWKVCLIP(options).ptr();
}

}  // namespace wkv::zoo
