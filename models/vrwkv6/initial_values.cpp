// VRWKV6's initial values, as the published training code sets them for a new model.
#include "vrwkv6/initial_values.h"

#include "layers/initial_values.h"
#include "vrwkv6/spatial_mix.h"

namespace wkv::models {
namespace {

void set_block(const VRWKV6SpatialMix& att, const SpatialChannelMix& ffn, const Depth& depth) {
  const double channels = static_cast<double>(att.time_maa_x.numel());
  const auto [up, down] = depth;
  // Of the token itself; what time_maa_* say is the neighbour's share.
  const auto own = [&](double power, double offset = 0) {
    return [=](double n) { return std::pow(n / channels, power) + offset; };
  };
  const auto set_neighbour = [&](const at::Tensor& mix, const auto& share) {
    set_channels(mix, [&](double n) { return 1 - share(n); });
  };
  for (const at::Tensor& mix : {att.time_maa_x, att.time_maa_w, att.time_maa_k}) set_neighbour(mix, own(down));
  set_neighbour(att.time_maa_v, own(down, 0.3 * up));
  for (const at::Tensor& mix : {att.time_maa_r, att.time_maa_g}) set_neighbour(mix, own(0.5 * down));
  for (const at::Tensor& factor : {att.time_maa_w1, att.time_maa_w2, att.time_decay_w1, att.time_decay_w2})
    torch::nn::init::uniform_(factor, -1e-4, 1e-4);
  set_decay(att.time_decay, up);
  set_bonus(att.time_faaaa, up);
  set_channels(ffn.spatial_mix_k, own(down));
  set_channels(ffn.spatial_mix_r, own(down));
}

}  // namespace

void initialise_vrwkv6_mixes(const VisionTrunk& trunk) {
  const at::NoGradGuard no_grad;
  const auto layers = static_cast<int64_t>(trunk.layers.size());
  for (int64_t layer = 0; layer < layers; ++layer) {
    const VisionBlock& block = *trunk.layers[static_cast<size_t>(layer)];
    set_block(dynamic_cast<const VRWKV6SpatialMix&>(*block.att), *block.ffn, depth(layer, layers));
  }
}

}  // namespace wkv::models
