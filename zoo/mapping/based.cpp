// BASED checkpoints under the published names: the mapping is the identity, but for what the module has not got.
#include "wkv/models/based.h"

#include <fmt/format.h>

#include <algorithm>

#include "mapping/family.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

const std::string kEmbedding = "transformer.embeddings.word_embeddings.weight", kHead = "lm_head.weight";

int64_t rounded_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

std::string based_layer(int64_t layer) { return fmt::format("transformer.layers.{}.", layer); }

bool is_based(const Checkpoint& checkpoint) {
  const auto any = [&](const char* ending) {
    return std::ranges::any_of(checkpoint.tensors(), [&](const auto& tensor) {
      return tensor.first.starts_with("transformer.layers.") && tensor.first.ends_with(ending);
    });
  };
  return any(".mixer.proj_q.weight") && any(".mixer.in_proj.weight") && any(".mixer.Wqkv.weight");
}

void refuse_based_variants(const Checkpoint& file) {
  for (const auto& [name, tensor] : file.tensors()) {
    const auto refuse = [&, &own = name](const char* what) {
      throw Error(ErrorCode::unsupported_format, fmt::format("{}: {}: not supported: {}", file.path(), own, what));
    };
    if (name.ends_with(".mixer.g_norm.weight")) refuse("a linear attention with a norm, without a denominator");
    if (name.ends_with(".mlp.fc3.weight")) refuse("the MLP of mlp_type \"alt\"");
    if (name.ends_with(".position_embeddings.weight")) refuse("learned positions");
  }
}

// What a layer's names say it is; the first of its kind gives the sizes.
struct BasedLayers {
  std::vector<int64_t> convolution, linear, sliding;

  explicit BasedLayers(const Checkpoint& file) {
    const int64_t count = file.count_blocks("transformer.layers.");
    for (int64_t layer = 0; layer < count; ++layer) {
      const std::string mixer = based_layer(layer) + "mixer.";
      if (file.has(mixer + "proj_q.weight")) {
        linear.push_back(layer);
      } else if (file.has(mixer + "Wqkv.weight")) {
        sliding.push_back(layer);
      } else if (file.has(mixer + "in_proj.weight")) {
        convolution.push_back(layer);
      } else {
        throw Error(ErrorCode::missing_tensor,
                    fmt::format("{}: layer {} has the names of no mixer of BASED", file.path(), layer));
      }
    }
    if (convolution.empty() || linear.empty()) {
      throw Error(ErrorCode::missing_tensor,
                  fmt::format("{}: BASED has layers of gated convolution and of linear attention", file.path()));
    }
  }
};

// The configuration may name a layer in both lists: sliding attention is what it then is.
void expect_based_layers(const Checkpoint& file, Config& config, const BasedLayers& found) {
  const auto linear = config.integers("alt_mixer_layers"), sliding = config.integers("alt_mixer_2_layers");
  const auto sorted = [](std::vector<int64_t> layers) {
    std::ranges::sort(layers);
    return layers;
  };
  const auto expect = [&](const char* key, const std::vector<int64_t>& given, const std::vector<int64_t>& in_file) {
    if (sorted(given) == in_file) return;
    throw Error(ErrorCode::shape_mismatch, fmt::format("{}: {} is {}, but the tensors say {}", file.path(), key,
                                                       nlohmann::json(given).dump(), nlohmann::json(in_file).dump()));
  };
  if (sliding) expect("alt_mixer_2_layers", *sliding, found.sliding);
  if (linear) {
    std::vector<int64_t> only_linear = *linear;
    std::erase_if(only_linear,
                  [&](int64_t layer) { return std::ranges::find(found.sliding, layer) != found.sliding.end(); });
    expect("alt_mixer_layers", only_linear, found.linear);
  }
}

// Settings that other values of make another model.
void require_based_settings(Config& config) {
  config.require("activation_function", {"swiglu"});
  config.require("mlp_type", {"base"});
  for (const char* key : {"rms_norm", "prenorm", "tie_word_embeddings", "scale_attn_weights"})
    config.require(key, {"true"});
  for (const char* key : {"scale_attn_by_inverse_layer_idx", "mlp_fc1_bias", "mlp_fc2_bias", "out_proj_bias",
                          "qkv_proj_bias", "rotary_emb_interleaved", "parallel_block"}) {
    config.require(key, {"false"});
  }
  for (const char* key : {"n_positions", "max_position_embeddings"}) config.require(key, {"0"});
  config.require("rotary_emb_fraction", {"1", "1.0"});
}

// Keys that say how upstream trains, computes and stores the model, not what it is.
void accept_based_keys(Config& config) {
  const auto accept = [&](std::initializer_list<const char*> keys) {
    for (const char* key : keys) config.accept(key);
  };
  accept({"resid_pdrop", "embd_pdrop", "attn_pdrop", "initializer_range", "special_initializer", "fixed_decay"});
  accept({"fused_mlp", "fused_bias_fc", "fused_dropout_add_ln", "use_flash_attn", "residual_in_fp32"});
  accept({"reorder_and_upcast_attn", "use_cache", "torch_dtype", "transformers_version", "architectures"});
  accept({"model_type", "_name_or_path", "bos_token_id", "eos_token_id", "summary_activation", "summary_type"});
  accept({"summary_first_dropout", "summary_proj_to_labels", "summary_use_proj"});
}

// The width is a multiple of this many heads of `multiple` elements.
int64_t number_of_heads(const Checkpoint& file, Config& config, const char* key, int64_t otherwise, int64_t multiple,
                        int64_t width) {
  const int64_t heads = config.integer(key, otherwise);
  if (heads < 1 || width % (heads * multiple) != 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: {}, which shapes don't tell but config.json does, must divide the width {}{}, got {}",
                            file.path(), key, width, multiple == 2 ? " into heads of an even size" : "", heads));
  }
  return heads;
}

std::shared_ptr<models::Model> build_based(const Checkpoint& file, Config& config) {
  refuse_based_variants(file);
  const BasedLayers layers(file);
  const std::vector<int64_t>& embedding = file.shape(file.has(kEmbedding) ? kEmbedding : kHead, 2);
  const std::string convolution = based_layer(layers.convolution.front()) + "mixer.",
                    linear = based_layer(layers.linear.front()) + "mixer.";
  models::BasedOptions o;
  o.width = embedding[1];
  file.require_shape(linear + "out_proj.weight", {o.width, o.width});
  o.layers = static_cast<int64_t>(layers.convolution.size() + layers.linear.size() + layers.sliding.size());
  o.linear_layers = layers.linear;
  o.sliding_layers = layers.sliding;
  const std::string ffn = "transformer.layers.0.mlp.fc2.weight";
  o.ffn_width = file.shape(ffn, 2)[1];
  file.require_shape(ffn, {o.width, o.ffn_width});
  const std::vector<int64_t>& kernel = file.shape(convolution + "conv.conv.weight", 3);
  o.conv_width = kernel[0];
  o.conv_kernel = kernel[2];
  file.require_shape(convolution + "in_proj.weight", {2 * o.conv_width, o.width});

  config.expect("n_layer", o.layers);
  config.expect("n_embd", o.width);
  expect_based_layers(file, config, layers);
  o.heads = number_of_heads(file, config, "n_head", o.heads, /*multiple=*/2, o.width);
  o.norm_eps = config.number("layer_norm_epsilon", o.norm_eps);
  o.rotary_base = config.number("rotary_emb_base", o.rotary_base);

  Config gated = config.section("mixer"), attention = config.section("alt_mixer"),
         sliding = config.section("alt_mixer_2");  // whose num_heads upstream replaces by n_head
  gated.expect("expand_proj", 2 * o.conv_width / o.width);
  gated.expect("kernel_size", o.conv_kernel);
  o.linear_heads = number_of_heads(file, attention, "num_heads", o.linear_heads, /*multiple=*/1, o.width);
  attention.expect("num_key_value_heads", o.linear_heads);
  const int64_t features = file.shape(linear + "proj_q.weight", 2)[0];
  o.feature_size = features / o.linear_heads;
  attention.expect("feature_dim", o.feature_size);
  attention.section("feature_map").expect("input_dim", o.feature_size);
  attention.require("feature_name", {"taylor_exp"});
  attention.require("parallel_implementation", {"quadratic", "linear", "fla_parallel", "fla_chunk"});
  o.window = sliding.integer("window_size", o.window);

  // Upstream rounds both up: to the rows of the embedding, and to those of fc2.
  o.vocab = config.integer("vocab_size", embedding[0]);
  o.vocab_multiple = std::max<int64_t>(1, config.integer("pad_vocab_size_multiple", 1));
  if (rounded_up(o.vocab, o.vocab_multiple) != embedding[0]) config.expect("vocab_size", embedding[0]);
  if (rounded_up(config.integer("n_inner", o.ffn_width), 256) != o.ffn_width) config.expect("n_inner", o.ffn_width);
  require_based_settings(config);
  accept_based_keys(config);
  return std::make_shared<models::BasedImpl>(o, /*initialise=*/false);
}

std::string based_name(const std::string& name) {
  // Counters of the training, an experiment that no layer reads, and a table that the model computes.
  if (name.find("metrics") != std::string::npos || name == "transformer.decay.decay" ||
      name.ends_with(".mixer.rotary_emb.inv_freq")) {
    return "";
  }
  return name == kHead ? kEmbedding : name;  // the two are tied, and a file may have either or both
}

}  // namespace

const Family based_family = {"based", is_based, build_based, based_name};

}  // namespace wkv::zoo
