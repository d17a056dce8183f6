#include <c10/core/DeviceGuard.h>

#include "layers/addresses.h"
#include "rwkv7/fused.h"

namespace wkv::models {
namespace {

rwkv7::DecodeLowRank low_rank_of(const at::Tensor& bias, const at::Tensor& down, const at::Tensor& up,
                                 Addresses& addresses) {
  if (!down.defined()) return {};
  return {addresses.parameter(bias), addresses.parameter(down), addresses.parameter(up), down.size(1)};
}

rwkv7::DecodeLayer layer_of(const RWKV7Block& block, const State::Entry* entries, Addresses& addresses) {
  const auto vector = [&](const at::Tensor& parameter) { return addresses.parameter(parameter); };
  const auto matrix = [&](const std::shared_ptr<Linear>& linear) { return addresses.matrix(*linear); };
  const RWKV7TimeMix& att = *block.att;
  const RWKV7ChannelMix& ffn = *block.ffn;
  return {.ln1_weight = vector(block.ln1->weight),
          .ln1_bias = vector(block.ln1->bias),
          .ln2_weight = vector(block.ln2->weight),
          .ln2_bias = vector(block.ln2->bias),
          .x_r = vector(att.x_r),
          .x_w = vector(att.x_w),
          .x_k = vector(att.x_k),
          .x_v = vector(att.x_v),
          .x_a = vector(att.x_a),
          .x_g = vector(att.x_g),
          .receptance = matrix(att.receptance),
          .key = matrix(att.key),
          .value = matrix(att.value),
          .output = matrix(att.output),
          .decay = low_rank_of(att.w0, att.w1, att.w2, addresses),
          .rate = low_rank_of(att.a0, att.a1, att.a2, addresses),
          .value_residual = low_rank_of(att.v0, att.v1, att.v2, addresses),
          .gate = low_rank_of({}, att.g1, att.g2, addresses),
          .k_k = vector(att.k_k),
          .k_a = vector(att.k_a),
          .r_k = vector(att.r_k),
          .ln_x_weight = vector(att.ln_x->weight),
          .ln_x_bias = vector(att.ln_x->bias),
          .att_bias = vector(block.att_bias),
          .ffn_x_k = vector(ffn.x_k),
          .ffn_key = matrix(ffn.key),
          .ffn_value = matrix(ffn.value),
          .states = addresses.states(entries)};
}

}  // namespace

std::optional<at::Tensor> decode_blocks(const std::vector<std::shared_ptr<RWKV7Block>>& blocks, const at::Tensor& x,
                                        State& pool, const at::Tensor& slots) {
  const auto type = parameter_type(x.scalar_type());
  const rwkv7::Functions* const functions = rwkv7::functions(kind_of(x.device()));
  if (!type || !functions || x.size(0) > kMostDecodeRows || blocks.empty() || pool.batch() == 0) return std::nullopt;
  Addresses addresses(x);
  std::vector<rwkv7::DecodeLayer> layers;
  layers.reserve(blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i) {
    layers.push_back(layer_of(*blocks[i], &pool.entries[3 * i], addresses));
  }
  const RWKV7TimeMix& att = *blocks.front()->att;
  const rwkv7::Decode model{.type = *type,
                            .heads = att.heads,
                            .head_size = att.head_size,
                            .ln_x_eps = static_cast<float>(att.ln_x->eps),
                            .layers = layers.data(),
                            .layer_count = static_cast<int64_t>(layers.size())};
  if (!addresses.all_serve() || !functions->can_decode(model)) return std::nullopt;
  const c10::DeviceGuard guard(x.device());
  return step_rows(x, slots, [&](const int64_t* rows, int64_t batch, float* values) {
    functions->decode(model, rows, batch, values);
  });
}

}  // namespace wkv::models
