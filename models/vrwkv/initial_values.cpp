// VRWKV's initial values, as the published training code sets them for a new model.
#include "layers/initial_values.h"

#include "vrwkv/initial_values.h"

namespace wkv::models {
namespace {

// Different in each channel, and from the first block to the last.
void set_fancy(const VRWKVSpatialMix& att, const SpatialChannelMix& ffn, const Depth& depth) {
  const double channels = static_cast<double>(att.spatial_decay.numel()), last = std::max(channels - 1, 1.0);
  const auto [up, down] = depth;
  set_channels(att.spatial_decay, [&](double n) { return -5 + 8 * std::pow(n / last, 0.7 + 1.3 * up); });
  set_channels(att.spatial_first, [&](double n) { return std::log(0.3) + 0.5 * (std::fmod(n + 1, 3) - 1); });
  if (att.shift.pixels == 0) return;
  const auto set_mix = [&](const at::Tensor& mix, double power, double offset = 0) {
    set_channels(mix, [&](double n) { return std::pow(n / channels, power) + offset; });
  };
  set_mix(att.spatial_mix_k, down);
  set_mix(att.spatial_mix_v, down, 0.3 * up);
  set_mix(att.spatial_mix_r, 0.5 * down);
  set_mix(ffn.spatial_mix_k, down);
  set_mix(ffn.spatial_mix_r, down);
}

void set_everywhere(const VRWKVSpatialMix& att, const SpatialChannelMix& ffn, double decay, double mix) {
  torch::nn::init::constant_(att.spatial_decay, decay);
  torch::nn::init::constant_(att.spatial_first, decay);
  for (const auto& value :
       {att.spatial_mix_k, att.spatial_mix_v, att.spatial_mix_r, ffn.spatial_mix_k, ffn.spatial_mix_r})
    if (value.defined()) torch::nn::init::constant_(value, mix);
}

}  // namespace

void initialise_vrwkv_mixes(const VisionTrunk& trunk, VRWKVInit mode) {
  const at::NoGradGuard no_grad;
  const auto layers = static_cast<int64_t>(trunk.layers.size());
  for (int64_t layer = 0; layer < layers; ++layer) {
    const VisionBlock& block = *trunk.layers[static_cast<size_t>(layer)];
    const auto& att = dynamic_cast<const VRWKVSpatialMix&>(*block.att);
    switch (mode) {
      case VRWKVInit::fancy:
        set_fancy(att, *block.ffn, depth(layer, layers));
        break;
      case VRWKVInit::local:
        set_everywhere(att, *block.ffn, 1, 1);
        break;
      case VRWKVInit::global:
        set_everywhere(att, *block.ffn, 0, 0.5);
        break;
    }
  }
}

}  // namespace wkv::models
