// VRWKV6's initial values, as the published training code sets them for a new model.
#include "vrwkv6/initial_values.h"

namespace wkv::models {

void initialise_spatial_mix(const VRWKV6SpatialMix& att, const Depth& depth) {
  const double channels = static_cast<double>(att.time_maa_x.numel());
  const auto [up, down] = depth;
  const auto set_mix = [&](const at::Tensor& mix, double power, double offset = 0) {
    set_channels(mix, [&](double n) { return 1 - (std::pow(n / channels, power) + offset); });
  };
  for (const at::Tensor& mix : {att.time_maa_x, att.time_maa_w, att.time_maa_k}) set_mix(mix, down);
  set_mix(att.time_maa_v, down, 0.3 * up);
  for (const at::Tensor& mix : {att.time_maa_r, att.time_maa_g}) set_mix(mix, 0.5 * down);
  for (const at::Tensor& factor : {att.time_maa_w1, att.time_maa_w2, att.time_decay_w1, att.time_decay_w2})
    torch::nn::init::uniform_(factor, -1e-4, 1e-4);
  set_decay(att.time_decay, up);
  set_bonus(att.time_faaaa, up);
}

void initialise_vrwkv6_mixes(const VisionTrunk& trunk) {
  const at::NoGradGuard no_grad;
  const auto layers = static_cast<int64_t>(trunk.layers.size());
  for (int64_t layer = 0; layer < layers; ++layer) {
    const VisionBlock& block = *trunk.layers[static_cast<size_t>(layer)];
    const Depth place = depth(layer, layers);
    initialise_spatial_mix(dynamic_cast<const VRWKV6SpatialMix&>(*block.att), place);
    for (const at::Tensor& mix : {block.ffn->spatial_mix_k, block.ffn->spatial_mix_r}) {  // of the token itself
      const double channels = static_cast<double>(mix.numel());
      set_channels(mix, [&](double n) { return std::pow(n / channels, place.down); });
    }
  }
}

}  // namespace wkv::models
