// RWKV-4's initial values, as the published training code sets them for a new model.
#include "layers/initial_values.h"

#include <cmath>

#include "rwkv4/blocks.h"

namespace wkv::models {
namespace {

// The mix of each perspective, from the channel's place c/C in 0..1.
template <typename F>
void set_perspectives(const at::Tensor& mix, F&& f) {
  const auto channels = static_cast<double>(mix.size(-1));
  set_channels(mix, [&](double n) { return f(std::fmod(n, channels) / channels); });
}

// Orthogonal, larger for a matrix that widens.
void set_widening(const at::Tensor& weight) {
  const double ratio = static_cast<double>(weight.size(0)) / static_cast<double>(weight.size(1));
  torch::nn::init::orthogonal_(weight, std::sqrt(std::max(ratio, 1.0)));
}

}  // namespace

void RWKV4TimeMix::initialise(Depth depth) {
  const at::NoGradGuard no_grad;
  set_perspectives(time_mix_k, [&](double c) { return std::pow(c, depth.down); });
  set_perspectives(time_mix_v, [&](double c) { return std::pow(c, depth.down) + 0.3 * depth.up; });
  set_perspectives(time_mix_r, [&](double c) { return std::pow(c, 0.5 * depth.down); });
  const double last = std::max(static_cast<double>(time_decay.numel()) - 1, 1.0), curve = 0.7 + 1.3 * depth.up;
  set_channels(time_decay, [&](double n) { return -5 + 8 * std::pow(n / last, curve); });
  set_channels(time_first, [](double n) { return std::log(0.3) + 0.5 * (std::fmod(n + 1, 3) - 1); });
  set_widening(value->weight);
  for (const auto& linear : {key, receptance, output}) torch::nn::init::zeros_(linear->weight);
}

void initialise_channel_mix(const ReceptanceChannelMix& ffn, Depth depth) {
  const at::NoGradGuard no_grad;
  for (const at::Tensor& mix : {ffn.mix_k, ffn.mix_r})
    set_perspectives(mix, [&](double c) { return std::pow(c, depth.down); });
  set_widening(ffn.key->weight);
  torch::nn::init::zeros_(ffn.receptance->weight);
  torch::nn::init::zeros_(ffn.value->weight);
}

void RWKV4Block::initialise(Depth depth) {
  for (const auto& norm : {ln0, ln1, ln2, tiny_ln}) {
    if (norm) set_identity(*norm);
  }
  if (att) att->initialise(depth);
  for (const auto& mix : {ffn_pre, ffn}) {
    if (mix) initialise_channel_mix(*mix, depth);
  }
  for (const auto& linear : {tiny_q, tiny_k, tiny_v}) {
    if (linear) set_widening(linear->weight);
  }
}

}  // namespace wkv::models
