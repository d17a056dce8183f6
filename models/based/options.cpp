// BASED's options: defaults, limits, and upstream's configuration keys.
#include "based/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "layers/option_checks.h"
#include "wkv/error.h"

namespace wkv::models {
namespace {

constexpr const char* kOptions = "BasedOptions";
constexpr int64_t kFfnMultiple = 256;

int64_t rounded_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// heads: of what the op takes, at most 256 wide.
void require_heads(const char* name, int64_t heads, int64_t width, int64_t multiple) {
  if (heads < 1 || width % heads != 0 || width / heads % multiple != 0 || width / heads > 256) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("BasedOptions: {} must divide width ({}) into heads of {} size, at most 256, got {}", name,
                            width, multiple == 2 ? "an even" : "any", heads));
  }
}

bool contains(const std::vector<int64_t>& layers, int64_t layer) {
  return std::ranges::find(layers, layer) != layers.end();
}

}  // namespace

BasedOptions complete(BasedOptions o) {
  constexpr int64_t kMost = int64_t{1} << 31;
  require_in_range(kOptions, "layers", o.layers, 1, kMost);
  require_in_range(kOptions, "width", o.width, 1, kMost);
  for (const int64_t layer : o.linear_layers)
    require_in_range(kOptions, "a layer of linear_layers", layer, 0, o.layers - 1);
  for (const int64_t layer : o.sliding_layers)
    require_in_range(kOptions, "a layer of sliding_layers", layer, 0, o.layers - 1);
  require_heads("linear_heads", o.linear_heads, o.width, 1);
  require_heads("heads", o.heads, o.width, 2);
  require_in_range(kOptions, "feature_size", o.feature_size, 1, 64);
  require_in_range(kOptions, "window", o.window, 0, 1 << 16);
  require_in_range(kOptions, "conv_width", o.conv_width, 0, kMost);
  require_in_range(kOptions, "conv_kernel", o.conv_kernel, 1, 64);
  require_in_range(kOptions, "ffn_width", o.ffn_width, 0, kMost);
  require_in_range(kOptions, "vocab", o.vocab, 1, kMost);
  require_in_range(kOptions, "vocab_multiple", o.vocab_multiple, 1, kMost);
  if (o.conv_width == 0) o.conv_width = 2 * o.width;
  o.ffn_width = rounded_up(o.ffn_width == 0 ? 2 * o.width : o.ffn_width, kFfnMultiple);
  return o;
}

BasedMixing mixing_of_layer(const BasedOptions& options, int64_t layer) {
  if (contains(options.sliding_layers, layer)) return BasedMixing::sliding_attention;
  if (contains(options.linear_layers, layer)) return BasedMixing::linear_attention;
  return BasedMixing::convolution;
}

int64_t padded_vocab(const BasedOptions& options) { return rounded_up(options.vocab, options.vocab_multiple); }

std::string to_config_json(const BasedOptions& o) {
  return nlohmann::ordered_json{
      {"n_layer", o.layers},
      {"n_embd", o.width},
      {"n_head", o.heads},
      {"n_inner", o.ffn_width},
      {"vocab_size", o.vocab},
      {"pad_vocab_size_multiple", o.vocab_multiple},
      {"layer_norm_epsilon", o.norm_eps},
      {"rotary_emb_base", o.rotary_base},
      {"alt_mixer_layers", o.linear_layers},
      {"alt_mixer_2_layers", o.sliding_layers},
      {"mixer",
       {{"expand_proj", 2.0 * static_cast<double>(o.conv_width) / static_cast<double>(o.width)},
        {"kernel_size", o.conv_kernel}}},
      {"alt_mixer", {{"feature_dim", o.feature_size}, {"num_heads", o.linear_heads}}},
      {"alt_mixer_2", {{"window_size", o.window}}}}
      .dump();
}

}  // namespace wkv::models
