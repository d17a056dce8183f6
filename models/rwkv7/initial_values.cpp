// RWKV-7's initial values, as the published training code sets them for a new model.
#include "layers/initial_values.h"

#include <cmath>

#include "rwkv7/blocks.h"

namespace wkv::models {
namespace {

void set_low_rank(const at::Tensor& first, const at::Tensor& second) {
  torch::nn::init::zeros_(first);
  const double rank = static_cast<double>(second.size(0)), width = static_cast<double>(second.size(1));
  torch::nn::init::orthogonal_(second, 0.1 * std::max(1.0, std::sqrt(rank / width)));
}

}  // namespace

void RWKV7TimeMix::initialise() {
  const at::NoGradGuard no_grad;
  const auto [up, down] = depth(layer, layers);
  const double channels = static_cast<double>(width), last = std::max(channels - 1, 1.0);
  const double size = static_cast<double>(head_size), middle = std::max((size - 1) / 2, 0.5);
  const auto set_mix = [&, down = down](const at::Tensor& parameter, double power) {
    set_channels(parameter, [&](double n) { return 1 - std::pow(n / channels, power * down); });
  };
  const auto linear = [&](double n) { return n / last - 0.5; };
  const auto zigzag = [&](double n) {
    const double z = (std::fmod(n, size) - (size - 1) / 2) / middle;
    return z * std::abs(z);
  };
  set_mix(x_r, 0.2);
  set_mix(x_g, 0.2);
  set_mix(x_w, 0.9);
  set_mix(x_a, 0.9);
  set_mix(x_k, 0.7);
  set_mix(x_v, 0.7);
  const double curve = 1 + std::pow(up, 0.3);
  set_channels(w0, [&](double n) { return -6 + 6 * std::pow(n / last, curve) + 0.5 + 2.5 * zigzag(n); });
  set_channels(a0, [&](double n) { return -0.19 + 0.3 * zigzag(n) + 0.4 * linear(n); });
  set_low_rank(w1, w2);
  set_low_rank(a1, a2);
  set_low_rank(g1, g2);
  if (v0.defined()) {
    set_channels(v0, [&](double n) { return 0.73 - 0.4 * linear(n); });
    set_low_rank(v1, v2);
  }
  set_channels(k_k, [&](double n) { return 0.71 - 0.1 * linear(n); });
  torch::nn::init::constant_(k_a, 1.02);
  torch::nn::init::constant_(r_k, -0.04);
  torch::nn::init::orthogonal_(receptance->weight, 1.0);
  torch::nn::init::orthogonal_(key->weight, 0.1);
  torch::nn::init::orthogonal_(value->weight, 1.0);
  torch::nn::init::zeros_(output->weight);
  torch::nn::init::constant_(ln_x->weight, std::pow(static_cast<double>(1 + layer) / static_cast<double>(layers), 0.7));
  torch::nn::init::zeros_(ln_x->bias);
}

void RWKV7ChannelMix::initialise() {
  const at::NoGradGuard no_grad;
  const double power = std::pow(depth(layer, layers).down, 4), channels = static_cast<double>(width);
  set_channels(x_k, [&](double n) { return 1 - std::pow(n / channels, power); });
  torch::nn::init::orthogonal_(key->weight, 1.0);
  torch::nn::init::zeros_(value->weight);
}

void RWKV7Block::initialise() {
  for (const auto& norm : {ln0, ln1, ln2}) {
    if (norm) set_identity(*norm);
  }
  att->initialise();
  ffn->initialise();
  if (att_bias.defined()) torch::nn::init::zeros_(att_bias);
}

}  // namespace wkv::models
