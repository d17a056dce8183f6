// The text tower's initial values, as the published training code sets them for a new model.
#include "layers/initial_values.h"

#include "rwkv_clip/text_tower.h"

namespace wkv::models {

void TextBlock::initialise(int64_t layer, int64_t layers) {
  const auto [up, down] = depth(layer, layers);
  const double channels = static_cast<double>(att->time_maa_x.numel());
  const auto set_mix = [&](const at::Tensor& mix, double power, double offset = 0) {
    set_channels(mix, [&](double n) { return 1 - (std::pow(n / channels, power) + offset); });
  };
  for (const auto& norm : {ln0, ln1, ln2})
    if (norm) set_identity(*norm);

  set_mix(att->time_maa_x, down);
  set_mix(att->time_maa_w, down);
  set_mix(att->time_maa_k, down);
  set_mix(att->time_maa_v, down, 0.3 * up);
  set_mix(att->time_maa_r, 0.5 * down);
  set_mix(att->time_maa_g, 0.5 * down);
  set_decay(att->time_decay, up);
  set_bonus(att->time_faaaa, up);
  for (const at::Tensor& first : {att->time_maa_w1, att->time_decay_w1}) torch::nn::init::zeros_(first);
  for (const at::Tensor& second : {att->time_maa_w2, att->time_decay_w2})
    torch::nn::init::uniform_(second, -0.01, 0.01);
  torch::nn::init::constant_(att->ln_x->weight,
                             std::pow((1.0 + static_cast<double>(layer)) / static_cast<double>(layers), 0.7));
  torch::nn::init::zeros_(att->ln_x->bias);
  set_mix(ffn->mix_k, down);
  set_mix(ffn->mix_r, down);

  const auto set_orthogonal = [](const at::Tensor& weight, double gain) {
    const double ratio = static_cast<double>(weight.size(0)) / static_cast<double>(weight.size(1));
    torch::nn::init::orthogonal_(weight, gain * std::sqrt(std::max(ratio, 1.0)));
  };
  set_orthogonal(att->receptance->weight, 1);
  set_orthogonal(att->key->weight, 0.1);
  set_orthogonal(att->value->weight, 1);
  set_orthogonal(att->gate->weight, 0.1);
  set_orthogonal(ffn->key->weight, 0.5);
  for (const auto& linear : {att->output, ffn->value, ffn->receptance}) torch::nn::init::zeros_(linear->weight);
}

void TextTower::initialise() {
  const at::NoGradGuard no_grad;
  torch::nn::init::uniform_(emb->weight, -1e-4, 1e-4);
  for (size_t layer = 0; layer < blocks.size(); ++layer)
    blocks[layer]->initialise(static_cast<int64_t>(layer), static_cast<int64_t>(blocks.size()));
  set_identity(*ln_out);
  for (const at::Tensor& value : parameters()) value.copy_(value.to(at::kBFloat16));  // as upstream starts from bf16
}

}  // namespace wkv::models
