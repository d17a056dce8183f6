// RWKV-6's initial values, as the published training code sets them for a new model.
#include "layers/initial_values.h"

#include "rwkv6/time_mix.h"

namespace wkv::models {

void RWKV6TimeMix::initialise(ResidualBlock<RWKV6TimeMix>& block) {
  const at::NoGradGuard no_grad;
  RWKV6TimeMix& att = *block.att;
  ReceptanceChannelMix& ffn = *block.ffn;
  const auto [up, down] = depth(block.layer, block.layers);
  const double channels = static_cast<double>(att.time_maa_x.numel());
  const auto set_mix = [&](const at::Tensor& mix, double power, double offset = 0) {
    set_channels(mix, [&](double n) { return 1 - (std::pow(n / channels, power) + offset); });
  };
  const auto set_low_rank = [](const at::Tensor& first, const at::Tensor& second) {
    torch::nn::init::zeros_(first);
    torch::nn::init::uniform_(second, -0.01, 0.01);
  };
  set_mix(att.time_maa_x, down);
  set_mix(att.time_maa_w, down);
  set_mix(att.time_maa_k, down);
  set_mix(att.time_maa_v, down, 0.3 * up);
  set_mix(att.time_maa_r, 0.5 * down);
  if (att.time_maa_g.defined()) set_mix(att.time_maa_g, 0.5 * down);
  set_low_rank(att.mix_w1, att.mix_w2);
  set_decay(att.time_decay, up);
  set_low_rank(att.time_decay_w1, att.time_decay_w2);
  set_bonus(att.time_faaaa, up);
  if (att.gate_w1.defined()) set_low_rank(att.gate_w1, att.gate_w2);
  set_mix(ffn.mix_k, std::pow(down, 3));
  set_mix(ffn.mix_r, std::pow(down, 3));

  torch::nn::init::orthogonal_(att.receptance->weight, 1.0);
  torch::nn::init::orthogonal_(att.key->weight, 0.1);
  torch::nn::init::orthogonal_(att.value->weight, 1.0);
  if (att.gate) torch::nn::init::orthogonal_(att.gate->weight, 0.1);
  torch::nn::init::orthogonal_(ffn.key->weight, 1.0);
  for (const auto& linear : {att.output, ffn.value, ffn.receptance}) torch::nn::init::zeros_(linear->weight);

  const double share = static_cast<double>(1 + block.layer) / static_cast<double>(block.layers);
  torch::nn::init::constant_(att.ln_x->weight, std::pow(share, 0.7));
  torch::nn::init::zeros_(att.ln_x->bias);
}

}  // namespace wkv::models
