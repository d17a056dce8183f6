// The digit-reversal demonstration of RWKV-v8: two RWKV-7 blocks under names of their own, numbered from 1. Its ROSA
// branch has an all-zero embedding, so all that is left of the branch is the bias of its output projection.
#include <ATen/Functions.h>
#include <fmt/format.h>

#include <regex>

#include "mapping/family.h"
#include "wkv/error.h"
#include "wkv/models/rwkv7.h"

namespace wkv::zoo {
namespace {

bool is_digits(const Checkpoint& checkpoint) { return checkpoint.has("rwkv1.r_k") && checkpoint.has("e.weight"); }

std::shared_ptr<models::Model> build_digits(const Checkpoint& file, Config& config) {
  models::RWKV7Options o;
  o.layers = 1;
  while (file.has(fmt::format("rwkv{}.r_k", o.layers + 1))) ++o.layers;
  o.vocab = file.shape("e.weight", 2)[0];
  o.width = file.shape("e.weight", 2)[1];
  file.require_shape("rwkv1.key.weight", {o.width, o.width});
  o.head_size = file.shape("rwkv1.r_k", 2)[1];
  o.ffn_width = file.shape("ffn1.key.weight", 2)[0];
  o.ranks = {.decay = file.shape("rwkv1.w1", 2)[1],
             .in_context_rate = file.shape("rwkv1.a1", 2)[1],
             .value_residual = file.shape("rwkv1.v1", 2)[1],
             .gate = file.shape("rwkv1.g1", 2)[1]};
  o.input_norm = false;
  o.head_bias = true;
  o.block_bias = true;
  for (int64_t layer = 1; layer <= o.layers; ++layer) {
    const std::string name = fmt::format("rosa{}.rosa_qkv.emb", layer);
    file.shape(name, 3);
    if (as_tensor(*file.tensors().at(name)).count_nonzero().item<int64_t>() != 0) {
      throw Error(ErrorCode::unsupported_format,
                  fmt::format("{}: {} is not zero: models with a working ROSA branch (RWKV-8) are not supported",
                              file.path(), name));
    }
  }
  config.expect("n_layer", o.layers);
  config.expect("n_embd", o.width);
  config.expect("vocab", o.vocab);
  o.ln_x_eps = config.number("ln_x_eps", o.ln_x_eps);
  return std::make_shared<models::RWKV7Impl>(o, /*initialise=*/false);
}

std::string digits_parameter(const std::string& name) {
  static const std::regex pattern("(rwkv|ffn|ln|rosa)([1-9][0-9]{0,2})([abc]?)\\.(.+)");
  std::smatch match;
  if (std::regex_match(name, match, pattern)) {
    const std::string kind = match[1].str() + match[3].str(),
                      block = fmt::format("blocks.{}.", std::stoi(match[2]) - 1);
    const std::string rest = match[4];
    if (kind == "rwkv") return block + "att." + rest;
    if (kind == "ffn") return block + "ffn." + rest;
    if (kind == "lna") return block + "ln1." + rest;
    if (kind == "lnb") return block + "ln2." + rest;
    if (kind == "rosa" && rest == "o.bias") return block + "att_bias";
    if (kind == "rosa" || kind == "lnc") return "";  // the branch whose embedding is zero
  }
  if (name == "e.weight") return "emb.weight";
  if (name.starts_with("lno.")) return "ln_out." + name.substr(4);
  if (name.starts_with("o.")) return "head." + name.substr(2);
  return name;
}

}  // namespace

const Family rwkv7_digits_family = {"rwkv7", is_digits, build_digits, digits_parameter};

}  // namespace wkv::zoo
