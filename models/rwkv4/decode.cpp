#include <c10/core/DeviceGuard.h>

#include <algorithm>

#include "layers/addresses.h"
#include "rwkv4/fused.h"
#include "wkv/rwkv4_blocks.h"

namespace wkv::models {
namespace {

rwkv4::DecodeLayer layer_of(const RWKV4Block& block, const State::Entry* entries, Addresses& addresses) {
  const auto vector = [&](const at::Tensor& parameter) { return addresses.parameter(parameter); };
  const auto matrix = [&](const std::shared_ptr<Linear>& linear) { return addresses.matrix(*linear); };
  const RWKV4TimeMix& att = *block.att;
  const ReceptanceChannelMix& ffn = *block.ffn;
  return {.ln1_weight = vector(block.ln1->weight),
          .ln1_bias = vector(block.ln1->bias),
          .ln2_weight = vector(block.ln2->weight),
          .ln2_bias = vector(block.ln2->bias),
          .time_mix_k = vector(att.time_mix_k),
          .time_mix_v = vector(att.time_mix_v),
          .time_mix_r = vector(att.time_mix_r),
          .time_decay = vector(att.time_decay),
          .time_first = vector(att.time_first),
          .key = matrix(att.key),
          .value = matrix(att.value),
          .receptance = matrix(att.receptance),
          .output = matrix(att.output),
          .ffn_time_mix_k = vector(ffn.mix_k),
          .ffn_time_mix_r = vector(ffn.mix_r),
          .ffn_key = matrix(ffn.key),
          .ffn_receptance = matrix(ffn.receptance),
          .ffn_value = matrix(ffn.value),
          .states = addresses.states(entries)};
}

}  // namespace

std::optional<at::Tensor> decode_blocks(const std::vector<std::shared_ptr<RWKV4Block>>& blocks, const at::Tensor& x,
                                        State& pool, const at::Tensor& slots) {
  const auto type = parameter_type(x.scalar_type());
  const rwkv4::Functions* const functions = rwkv4::functions(kind_of(x.device()));
  if (!type || !functions || x.size(0) > kMostDecodeRows || pool.batch() == 0) return std::nullopt;
  if (std::ranges::any_of(blocks, [](const auto& block) { return !block->att || block->tiny_ln; })) return std::nullopt;
  Addresses addresses(x);
  std::vector<rwkv4::DecodeLayer> layers;
  layers.reserve(blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i) {
    layers.push_back(layer_of(*blocks[i], &pool.entries[3 * i], addresses));
  }
  const rwkv4::Decode model{
      .type = *type, .width = x.size(2), .layers = layers.data(), .layer_count = static_cast<int64_t>(layers.size())};
  if (!addresses.all_serve() || !functions->can_decode(model)) return std::nullopt;
  const c10::DeviceGuard guard(x.device());
  return step_rows(x, slots, [&](const int64_t* rows, int64_t batch, float* values) {
    functions->decode(model, rows, batch, values);
  });
}

}  // namespace wkv::models
