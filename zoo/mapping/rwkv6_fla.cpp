// RWKV-6 as flash-linear-attention has it: matrices of low rank transposed, as those of layers; the five inputs' mixes
// in the order r, w, k, v, g; and a norm behind the op whose eps is every norm's, 1e-5, where the published is 64 times
// that.
//
// The norm of y with an eps of d^2 e is that of y / d with e, and y is linear in the values. So a published model is
// written with its value matrix divided by d = 8, which is exact, and with upstream's key for d, head_size_divisor,
// from which the reader knows to multiply. The package doesn't look at that key, and read with or without it, the file
// is the same model.
#include <ATen/Functions.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/layout.h"
#include "mapping/fla.h"
#include "wkv/error.h"
#include "wkv/zoo/load.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

constexpr HubName kRwkv6OfBlock[] = {
    {"pre_norm.weight", "ln0.weight"},
    {"pre_norm.bias", "ln0.bias"},
    {"attn_norm.weight", "ln1.weight"},
    {"attn_norm.bias", "ln1.bias"},
    {"ffn_norm.weight", "ln2.weight"},
    {"ffn_norm.bias", "ln2.bias"},
    {"attn.x_proj.0.mu", "att.time_maa_x", Held::as_vector},
    {"attn.w_proj.linear.lora.2.bias", "att.time_decay", Held::as_vector},
    {"attn.w_proj.linear.lora.0.weight", "att.time_decay_w1", Held::transposed},
    {"attn.w_proj.linear.lora.2.weight", "att.time_decay_w2", Held::transposed},
    {"attn.bonus", "att.time_faaaa"},
    {"attn.r_proj.linear.weight", "att.receptance.weight"},
    {"attn.k_proj.linear.weight", "att.key.weight"},
    {"attn.v_proj.linear.weight", "att.value.weight"},
    {"attn.g_proj.linear.weight", "att.gate.weight"},
    {"attn.o_proj.weight", "att.output.weight"},
    {"attn.g_norm.weight", "att.ln_x.weight"},
    {"attn.g_norm.bias", "att.ln_x.bias"},
    {"ffn.key.mu", "ffn.time_maa_k", Held::as_vector},
    {"ffn.key.linear.weight", "ffn.key.weight"},
    {"ffn.receptance.mu", "ffn.time_maa_r", Held::as_vector},
    {"ffn.receptance.linear.weight", "ffn.receptance.weight"},
    {"ffn.value.weight", "ffn.value.weight"},
    // Of a block that is being written, already put together below.
    {"attn.x_bias", "attn.x_bias"},
    {"attn.x_proj.0.linear.weight", "attn.x_proj.0.linear.weight"},
    {"attn.x_proj.2.weight", "attn.x_proj.2.weight"},
};

constexpr HubNames kRwkv6Names = {kFlaBlocks, kFlaOfModel, kRwkv6OfBlock};

constexpr int64_t kMixes = 5;
constexpr const char* kTheirMixes[kMixes] = {"r", "w", "k", "v", "g"};           // upstream: w, k, v, r, g
at::Tensor their_places() { return at::tensor({1, 2, 3, 0, 4}, at::kLong); }     // of upstream's mixes
at::Tensor upstream_places() { return at::tensor({3, 0, 1, 2, 4}, at::kLong); }  // of theirs

bool is_rwkv6_fla(const Checkpoint& file) { return file.has_prefix("model.layers.0.attn.x_proj."); }

// The values of a floating-point matrix, to copy: all its elements are in the file, so that a copy is no larger.
at::Tensor matrix_to_copy(const Checkpoint& file, const std::string& name) {
  const int64_t elements = file.shape(name, 2)[0] * file.shape(name)[1];
  const TensorEntry& entry = *file.tensors().at(name);
  const bool floating = std::ranges::any_of(parameter_dtypes(), [&](const auto& d) { return d.second == entry.dtype; });
  if (!floating || memory_extent(entry.shape, entry.strides).value_or(0) < elements) {
    throw Error(
        ErrorCode::corrupt_file,
        fmt::format("{}: {} must be a floating-point matrix whose elements are all in the file", file.path(), name));
  }
  return as_tensor(entry);
}

TensorEntry entry_of(std::string name, const at::Tensor& values) {
  const auto owner = std::make_shared<at::Tensor>(values);
  return {.name = std::move(name),
          .dtype = values.scalar_type(),
          .shape = values.sizes().vec(),
          .strides = values.strides().vec(),
          .data = static_cast<std::byte*>(owner->mutable_data_ptr()),
          .owner = owner};
}

// The parts of a block's mixes; their ranks are one for all five.
void read_mixes(const Checkpoint& file, const std::string& block, const std::string& published,
                std::vector<TensorEntry>& entries) {
  const std::string bias = block + "attn.x_bias", down = block + "attn.x_proj.0.linear.weight",
                    up = block + "attn.x_proj.2.weight";
  const int64_t width = file.shape("model.embeddings.weight", 2)[1];
  file.require_shape(bias, {kMixes, width});
  const int64_t ranks = file.shape(down, 2)[0];
  if (ranks % kMixes != 0) {
    throw Error(ErrorCode::shape_mismatch, fmt::format("{}: {} must have a rank for each of {} mixes, got {} rows",
                                                       file.path(), down, kMixes, ranks));
  }
  file.require_shape(down, {ranks, width});
  file.require_shape(up, {width, ranks});
  for (int64_t i = 0; i < kMixes; ++i)
    entries.push_back(row_of(*file.tensors().at(bias), i, fmt::format("{}att.time_maa_{}", published, kTheirMixes[i])));
  const at::Tensor places = their_places();
  const at::Tensor w1 = matrix_to_copy(file, down).unflatten(0, {kMixes, -1}).index_select(0, places).flatten(0, 1).t();
  const at::Tensor w2 = matrix_to_copy(file, up).unflatten(1, {kMixes, -1}).permute({1, 2, 0}).index_select(0, places);
  entries.push_back(entry_of(published + "att.time_maa_w1", w1));
  entries.push_back(entry_of(published + "att.time_maa_w2", w2));
}

// head_size_divisor, a power of two, so that what it divides is exact.
int64_t value_divisor(const Checkpoint& file, Config& config) {
  const int64_t divisor = config.integer("head_size_divisor", 1);
  if (divisor < 1 || divisor > 1024 || (divisor & (divisor - 1)) != 0) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{}: head_size_divisor must be a power of two, at most 1024, got {}", file.path(), divisor));
  }
  return divisor;
}

void read_rwkv6_config(const Checkpoint& file, Config& config) {
  read_fla_config(file, config, "rwkv6");
  for (const char* key : {"expand_k", "expand_v"}) config.require(key, {"1.0", "1"});
  config.expect("num_heads", file.shape("blocks.0.att.time_faaaa", 2)[0]);
  config.expect("proj_low_rank_dim", file.shape("blocks.0.att.time_maa_w2", 3)[1]);
  config.expect("gate_low_rank_dim", file.shape("blocks.0.att.time_decay_w1", 2)[1]);
  config.fill({{"head_size_divisor", 1}});
}

void read_rwkv6_fla(Checkpoint& file, Config& config) {
  const int64_t divisor = value_divisor(file, config);
  std::vector<TensorEntry> entries;
  for (const auto& [name, entry] : file.tensors()) {
    const auto [block, rest] = block_name(name, kFlaBlocks);
    const std::string theirs = fmt::format("{}{}.", kFlaBlocks, block), published = fmt::format("blocks.{}.", block);
    if (rest == "attn.x_bias") {
      read_mixes(file, theirs, published, entries);
    } else if (rest == "attn.v_proj.linear.weight" && divisor != 1) {
      entries.push_back(entry_of(published + "att.value.weight", matrix_to_copy(file, name).mul(divisor)));
    } else if (rest != "attn.x_proj.0.linear.weight" && rest != "attn.x_proj.2.weight") {
      entries.push_back(kRwkv6Names.published(file, name, *entry));
    }
  }
  file.replace(std::move(entries));
  read_rwkv6_config(file, config);
}

// A power of two d for which the norm behind the op has an eps of d^2 * 1e-5.
int64_t divisor_for(double eps, const std::string& source) {
  const auto divisor = static_cast<int64_t>(std::exp2(std::round(std::log2(eps / 1e-5) / 2)));
  const double theirs = 1e-5 * static_cast<double>(divisor * divisor);
  if (divisor < 1 || divisor > 1024 || std::abs(eps - theirs) > 1e-9 * theirs) {
    throw Error(
        ErrorCode::unsupported_format,
        fmt::format("{}: ln_x_eps is {}, but flash-linear-attention's is 1e-05, which the values can make up for "
                    "where it is 4^n times that",
                    source, eps));
  }
  return divisor;
}

// Replaces what is put together of one block's tensors, under their names for it.
void write_mixes(ModelTensors& model, const std::string& block) {
  const auto take = [&](const std::string& name) {
    return model.tensors.extract(block + "att.time_maa_" + name).mapped();
  };
  std::vector<at::Tensor> biases;
  for (const char* mix : kTheirMixes) biases.push_back(take(mix).flatten());
  model.tensors[block + "attn.x_bias"] = at::stack(biases);
  const at::Tensor places = upstream_places();
  model.tensors[block + "attn.x_proj.0.linear.weight"] =
      take("w1").t().unflatten(0, {kMixes, -1}).index_select(0, places).flatten(0, 1);
  model.tensors[block + "attn.x_proj.2.weight"] = take("w2").index_select(0, places).flatten(0, 1).t();
}

void divide_values(at::Tensor& values, int64_t divisor, const std::string& name, const std::string& source) {
  const at::Tensor divided = values.div(divisor);
  if (!at::equal(divided.mul(divisor), values)) {
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: {} has values too small for its dtype to be divided by {}: write it in fp32 or bf16",
                            source, name, divisor));
  }
  values = divided;
}

nlohmann::ordered_json write_rwkv6_fla(const nlohmann::json& config, ModelTensors& model, const std::string& source) {
  if (const std::string version = config.at("version"); version != "x060") {
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: a model of version {}: flash-linear-attention has only x060", source, version));
  }
  const int64_t divisor = divisor_for(config.at("ln_x_eps"), source);
  nlohmann::ordered_json json = fla_config(config, model, "rwkv6", "RWKV6ForCausalLM");
  json["expand_k"] = json["expand_v"] = 1.0;
  json["proj_low_rank_dim"] = config.at("lora").at("maa");
  json["gate_low_rank_dim"] = config.at("lora").at("decay");
  if (divisor != 1) json["head_size_divisor"] = divisor;
  for (int64_t i = 0; i < config.at("n_layer").get<int64_t>(); ++i) {
    const std::string block = fmt::format("blocks.{}.", i), values = block + "att.value.weight";
    write_mixes(model, block);
    if (divisor != 1) divide_values(model.tensors.at(values), divisor, values, source);
  }
  kRwkv6Names.rename(model, source);
  return json;
}

}  // namespace

const HubLayout rwkv6_fla_layout = {is_rwkv6_fla, read_rwkv6_fla, "rwkv6", write_rwkv6_fla};

}  // namespace wkv::zoo
