// The text tower's initial values, as the published training code sets them for a new model.
#include "vrwkv6/initial_values.h"

#include "rwkv_clip/text_tower.h"

namespace wkv::models {

void TextBlock::initialise(int64_t layer, int64_t layers) {
  const Depth place = depth(layer, layers);
  for (const auto& norm : {ln0, ln1, ln2})
    if (norm) set_identity(*norm);

  initialise_spatial_mix(*att, place);
  for (const at::Tensor& first : {att->time_maa_w1, att->time_decay_w1}) torch::nn::init::zeros_(first);
  for (const at::Tensor& second : {att->time_maa_w2, att->time_decay_w2})
    torch::nn::init::uniform_(second, -0.01, 0.01);
  const double share = static_cast<double>(1 + layer) / static_cast<double>(layers);
  torch::nn::init::constant_(att->ln_x->weight, std::pow(share, 0.7));
  torch::nn::init::zeros_(att->ln_x->bias);
  for (const at::Tensor& mix : {ffn->mix_k, ffn->mix_r}) {
    const double channels = static_cast<double>(mix.numel());
    set_channels(mix, [&](double n) { return 1 - std::pow(n / channels, place.down); });
  }

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
  const auto layers = static_cast<int64_t>(blocks.size());
  for (int64_t layer = 0; layer < layers; ++layer) blocks[static_cast<size_t>(layer)]->initialise(layer, layers);
  set_identity(*ln_out);
  for (const at::Tensor& value : parameters()) value.copy_(value.to(at::kBFloat16));  // as upstream starts from bf16
}

}  // namespace wkv::models
