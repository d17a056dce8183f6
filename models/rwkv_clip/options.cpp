// RWKV-CLIP's options: defaults that depend on one another, limits, and upstream's configuration keys.
#include "rwkv_clip/options.h"

#include <nlohmann/json.hpp>

#include "layers/option_checks.h"
#include "layers/vision_trunk.h"

namespace wkv::models {

RWKVCLIPOptions complete(RWKVCLIPOptions options) {
  constexpr const char* kName = "RWKVCLIPOptions";
  constexpr int64_t kMost = int64_t{1} << 20;  // so that products of sizes fit
  require_in_range(kName, "width", options.width, 1, kMost);
  require_in_range(kName, "image_heads", options.image_heads, 1, options.width);
  if (options.width % (4 * options.image_heads) != 0) {  // four neighbours a head
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: width must be a multiple of 4 * image_heads, got {} and {}", kName, options.width,
                            options.image_heads));
  }
  require_heads(kName, options.width, options.width / options.image_heads);
  require_heads(kName, options.width, options.text_head_size);
  if (options.text_head_size % 2 != 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: text_head_size must be even, got {}", kName, options.text_head_size));
  }
  require_in_range(kName, "context", options.context, 1, kMost);
  require_in_range(kName, "vocab", options.vocab, 1, kMost);
  require_in_range(kName, "text_ffn_width", options.text_ffn_width, 0, kMost);
  if (options.text_ffn_width == 0) options.text_ffn_width = gated_ffn_width(options.width);
  if (!(options.head_size_divisor > 0)) {  // also NaN
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: head_size_divisor must be above 0, got {}", kName, options.head_size_divisor));
  }
  // Where a layer stands among the layers decides its initial values; upstream divides by their number less one.
  require_in_range(kName, "image_layers", options.image_layers, 2, kMost);
  require_in_range(kName, "text_layers", options.text_layers, 2, kMost);
  complete(image_trunk(options), kName);
  return options;
}

VisionTrunkOptions image_trunk(const RWKVCLIPOptions& o) {
  return {.image_size = o.image_size,
          .patch_size = o.patch_size,
          .width = o.width,
          .layers = o.image_layers,
          .hidden_rate = o.image_hidden_rate,
          .class_token = o.class_token,
          .output_class_token = o.output_class_token,
          .drop_path_rate = o.drop_path,
          .checkpointing = o.checkpointing};
}

std::string to_config_json(const RWKVCLIPOptions& o) {
  return nlohmann::ordered_json{{"input_size", o.image_size},
                                {"image_depth", o.image_layers},
                                {"image_embed_dims", o.width},
                                {"image_patch_size", o.patch_size},
                                {"image_hidden_rate", o.image_hidden_rate},
                                {"image_num_heads", o.image_heads},
                                {"image_output_cls_token", o.output_class_token},
                                {"image_with_cls_token", o.class_token},
                                {"drop_path_rate", o.drop_path},
                                {"ctx_len", o.context},
                                {"vocab_size", o.vocab},
                                {"head_size", o.text_head_size},
                                {"head_size_divisor", o.head_size_divisor},
                                {"n_layer", o.text_layers},
                                {"n_embd", o.width},
                                {"dim_att", o.width},
                                {"dim_ffn", o.text_ffn_width},
                                {"with_cp", o.checkpointing}}
      .dump();
}

}  // namespace wkv::models
