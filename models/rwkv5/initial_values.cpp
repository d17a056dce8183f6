// RWKV-5's initial values, as the published training code of each version sets them for a new model.
#include "layers/initial_values.h"

#include "rwkv5/time_mix.h"

namespace wkv::models {
namespace {

// The previews scale a matrix that widens, so that it keeps the size of its input.
double rwkv5_widening(const at::Tensor& weight) {
  return std::sqrt(std::max(static_cast<double>(weight.size(0)) / static_cast<double>(weight.size(1)), 1.0));
}

}  // namespace

void RWKV5TimeMix::initialise(ResidualBlock<RWKV5TimeMix>& block) {
  const at::NoGradGuard no_grad;
  RWKV5TimeMix& att = *block.att;
  ReceptanceChannelMix& ffn = *block.ffn;
  const bool final_version = att.time_decay.dim() == 2;
  const auto [up, down] = depth(block.layer, block.layers);
  const double channels = static_cast<double>(att.time_mix_k.numel());
  const auto set_mix = [&](const at::Tensor& mix, double power, double offset = 0) {
    set_channels(mix, [&](double n) { return std::pow(n / channels, power) + offset; });
  };
  set_mix(att.time_mix_k, down);
  set_mix(att.time_mix_v, down, 0.3 * up);
  set_mix(att.time_mix_r, 0.5 * down);
  if (att.gate) set_mix(att.time_mix_g, 0.5 * down);
  set_mix(ffn.mix_k, down);
  set_mix(ffn.mix_r, down);

  set_decay(att.time_decay, up);
  if (att.time_first.defined()) {
    torch::nn::init::constant_(att.time_first, -3.0);
  } else if (final_version) {
    set_bonus(att.time_faaaa, up);
  } else {
    const double last = std::max(static_cast<double>(att.heads - 1), 1.0);
    set_channels(att.time_faaaa, [&, up = up](double head) { return up * (1 - head / last); });
  }

  const auto orthogonal = [&](const Linear& linear, double final_gain) {
    torch::nn::init::orthogonal_(linear.weight, final_version ? final_gain : rwkv5_widening(linear.weight));
  };
  orthogonal(*att.receptance, 1.0);
  orthogonal(*att.key, 0.1);
  orthogonal(*att.value, 1.0);
  if (att.gate) orthogonal(*att.gate, 0.1);
  orthogonal(*ffn.key, 1.0);
  for (const auto& linear : {att.output, ffn.value, ffn.receptance}) torch::nn::init::zeros_(linear->weight);

  const double share = static_cast<double>(1 + block.layer) / static_cast<double>(block.layers);
  torch::nn::init::constant_(att.ln_x->weight, std::pow(share, 0.7));
  torch::nn::init::zeros_(att.ln_x->bias);
}

}  // namespace wkv::models
