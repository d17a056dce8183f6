// RWKV-7 as flash-linear-attention has it: low-rank matrices transposed, as those of layers, and no value residual in
// block 0, which reads none.
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "mapping/fla.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr HubName kRwkv7OfBlock[] = {
    {"pre_norm.weight", "ln0.weight"},
    {"pre_norm.bias", "ln0.bias"},
    {"attn_norm.weight", "ln1.weight"},
    {"attn_norm.bias", "ln1.bias"},
    {"ffn_norm.weight", "ln2.weight"},
    {"ffn_norm.bias", "ln2.bias"},
    {"attn.x_r", "att.x_r"},
    {"attn.x_w", "att.x_w"},
    {"attn.x_k", "att.x_k"},
    {"attn.x_v", "att.x_v"},
    {"attn.x_a", "att.x_a"},
    {"attn.x_g", "att.x_g"},
    {"attn.k_k", "att.k_k", Held::as_vector},
    {"attn.k_a", "att.k_a", Held::as_vector},
    {"attn.r_k", "att.r_k"},
    {"attn.r_proj.weight", "att.receptance.weight"},
    {"attn.k_proj.weight", "att.key.weight"},
    {"attn.v_proj.weight", "att.value.weight"},
    {"attn.o_proj.weight", "att.output.weight"},
    {"attn.g_norm.weight", "att.ln_x.weight"},
    {"attn.g_norm.bias", "att.ln_x.bias"},
    {"attn.w_lora.lora.2.bias", "att.w0", Held::as_vector},
    {"attn.w_lora.lora.0.weight", "att.w1", Held::transposed},
    {"attn.w_lora.lora.2.weight", "att.w2", Held::transposed},
    {"attn.a_lora.lora.2.bias", "att.a0", Held::as_vector},
    {"attn.a_lora.lora.0.weight", "att.a1", Held::transposed},
    {"attn.a_lora.lora.2.weight", "att.a2", Held::transposed},
    {"attn.v_lora.lora.2.bias", "att.v0", Held::as_vector},
    {"attn.v_lora.lora.0.weight", "att.v1", Held::transposed},
    {"attn.v_lora.lora.2.weight", "att.v2", Held::transposed},
    {"attn.g_lora.lora.0.weight", "att.g1", Held::transposed},
    {"attn.g_lora.lora.2.weight", "att.g2", Held::transposed},
    {"ffn.x_k", "ffn.x_k", Held::as_vector},
    {"ffn.key.weight", "ffn.key.weight"},
    {"ffn.value.weight", "ffn.value.weight"},
};

constexpr HubNames kRwkv7Names = {kFlaBlocks, kFlaOfModel, kRwkv7OfBlock};

bool is_rwkv7_fla(const Checkpoint& file) { return file.has_prefix("model.layers.0.attn.w_lora."); }

// Older versions have the six mixes of a block in one tensor.
void split_mixes(const Checkpoint& file, const std::string& name, int64_t block, const TensorEntry& entry,
                 std::vector<TensorEntry>& entries) {
  constexpr std::array kOrder = {'r', 'w', 'k', 'v', 'a', 'g'};
  file.require_shape(name, {static_cast<int64_t>(kOrder.size()), file.shape("model.embeddings.weight", 2)[1]});
  for (size_t i = 0; i < kOrder.size(); ++i)
    entries.push_back(row_of(entry, static_cast<int64_t>(i), fmt::format("blocks.{}.att.x_{}", block, kOrder[i])));
}

void read_rwkv7_config(const Checkpoint& file, Config& config) {
  read_fla_config(file, config, "rwkv7");
  const int64_t head_size = file.shape("blocks.0.att.r_k", 2)[1];
  config.expect("num_heads", file.shape("blocks.0.att.r_k")[0]);
  config.expect("head_dim", head_size);
  config.expect("decay_low_rank_dim", file.shape("blocks.0.att.w1", 2)[1]);
  config.expect("a_low_rank_dim", file.shape("blocks.0.att.a1", 2)[1]);
  config.expect("gate_low_rank_dim", file.shape("blocks.0.att.g1", 2)[1]);
  if (file.has("blocks.1.att.v1")) {
    config.expect("v_low_rank_dim", file.shape("blocks.1.att.v1", 2)[1]);
  } else {
    config.accept("v_low_rank_dim");
  }
  const int64_t width = file.shape("emb.weight", 2)[1];
  for (const int64_t value_width : config.integers("value_dim").value_or(std::vector<int64_t>{})) {
    if (value_width == width) continue;
    throw Error(
        ErrorCode::unsupported_format,
        fmt::format("{}: value_dim is {}: not supported, only hidden_size, {}, is", file.path(), value_width, width));
  }
  config.fill({{"ln_x_eps", 1e-5 * static_cast<double>(head_size)}});
}

void read_rwkv7_fla(Checkpoint& file, Config& config) {
  std::vector<TensorEntry> entries;
  for (const auto& [name, entry] : file.tensors()) {
    const auto [block, rest] = block_name(name, kFlaBlocks);
    if (rest == "attn.x_x") {
      split_mixes(file, name, block, *entry, entries);
    } else {
      entries.push_back(kRwkv7Names.published(file, name, *entry));
    }
  }
  file.replace(std::move(entries));
  read_rwkv7_config(file, config);
}

nlohmann::ordered_json write_rwkv7_fla(const nlohmann::json& config, ModelTensors& model, const std::string& source) {
  const int64_t head_size = config.at("head_size");
  const double eps = config.at("ln_x_eps"), theirs = 1e-5 * static_cast<double>(head_size);
  if (std::abs(eps - theirs) > 1e-9 * theirs) {
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: ln_x_eps is {}, but flash-linear-attention computes 1e-05 * head_dim, {}", source, eps,
                            theirs));
  }
  for (const char* unread : {"v0", "v1", "v2"}) model.tensors.erase(fmt::format("blocks.0.att.{}", unread));
  nlohmann::ordered_json json = fla_config(config, model, "rwkv7", "RWKV7ForCausalLM");
  json["head_dim"] = head_size;
  const nlohmann::json& ranks = config.at("lora");
  json["decay_low_rank_dim"] = ranks.at("w");
  json["a_low_rank_dim"] = ranks.at("a");
  json["v_low_rank_dim"] = ranks.at("v");
  json["gate_low_rank_dim"] = ranks.at("g");
  kRwkv7Names.rename(model, source);
  return json;
}

}  // namespace

const HubLayout rwkv7_fla_layout = {is_rwkv7_fla, read_rwkv7_fla, "rwkv7", write_rwkv7_fla};

}  // namespace wkv::zoo
