// RWKV-CLIP's options: defaults that depend on one another, limits, and upstream's configuration keys.
#include "rwkv_clip/options.h"

#include <nlohmann/json.hpp>

#include "layers/option_checks.h"

namespace wkv::models {

RWKVCLIPOptions complete(RWKVCLIPOptions options) {
  constexpr const char* kName = "RWKVCLIPOptions";
  constexpr int64_t kMost = int64_t{1} << 20;  // so that products of sizes fit
  require_in_range(kName, "patch_size", options.patch_size, 1, kMost);
  require_in_range(kName, "image_size", options.image_size, options.patch_size, kMost);
  require_in_range(kName, "width", options.width, 1, kMost);
  require_at_least(kName, "image_heads", options.image_heads, 1);
  if (options.width % (4 * options.image_heads) != 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("RWKVCLIPOptions: width must be a multiple of 4 * image_heads, got {} and {}",
                            options.width, options.image_heads));
  }
  require_in_range(kName, "image_hidden_rate", options.image_hidden_rate, 1, kMost);
  if (options.output_class_token && !options.class_token)
    throw Error(ErrorCode::invalid_argument, "RWKVCLIPOptions: output_class_token needs class_token");
  if (!(options.drop_path >= 0 && options.drop_path < 1)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("RWKVCLIPOptions: drop_path must be at least 0 and below 1, got {}", options.drop_path));
  }
  require_in_range(kName, "context", options.context, 1, kMost);
  require_in_range(kName, "vocab", options.vocab, 1, kMost);
  require_heads(kName, options.width, options.text_head_size);
  if (options.text_head_size % 2 != 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("RWKVCLIPOptions: text_head_size must be even, got {}", options.text_head_size));
  }
  require_in_range(kName, "text_ffn_width", options.text_ffn_width, 0, kMost);
  if (options.text_ffn_width == 0) options.text_ffn_width = gated_ffn_width(options.width);
  if (!(options.head_size_divisor > 0)) {  // also NaN
    throw Error(ErrorCode::invalid_argument,
                fmt::format("RWKVCLIPOptions: head_size_divisor must be above 0, got {}", options.head_size_divisor));
  }
  // Where a layer stands among the layers decides its initial values; upstream divides by their number less one.
  for (const auto& [name, layers] :
       {std::pair("image_layers", options.image_layers), {"text_layers", options.text_layers}})
    require_in_range(kName, name, layers, 2, kMost);
  return options;
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
