// The adapter's initial values: the trunk's as of a classifier, the rest as ViT-Adapter has them.
#include "layers/initial_values.h"

#include "vrwkv/initial_values.h"
#include "vrwkv6/initial_values.h"
#include "vrwkv_adapter/dense_adapter.h"

namespace wkv::models {
namespace {

void set_adapter_matrix(const Linear& linear) {
  torch::nn::init::normal_(linear.weight, 0, 0.02);
  if (linear.bias.defined()) torch::nn::init::zeros_(linear.bias);
}

}  // namespace

void DenseAdapter::initialise() const {
  const at::NoGradGuard no_grad;
  trunk->initialise(set_adapter_matrix);
  if (const auto* vrwkv = std::get_if<VRWKVOptions>(&options.backbone)) {
    initialise_vrwkv_mixes(*trunk, vrwkv->init_mode);
  } else {
    initialise_vrwkv6_mixes(*trunk);
  }
  initialise_convolutions(*spm);
  for (const auto& interaction : interactions) {
    initialise_convolutions(*interaction);
    for (const auto& part : interaction->modules()) {
      if (const auto* norm = part->as<LayerNorm>()) set_identity(*norm);
      if (const auto* matrix = part->as<Linear>()) set_adapter_matrix(*matrix);
    }
    for (const auto& part : interaction->modules())
      if (const auto* attention = part->as<DeformableAttention>()) attention->initialise();
    torch::nn::init::constant_(interaction->injector->gamma, options.trunk().init_values.value_or(0));
  }
  torch::nn::init::normal_(level_embed);
  torch::nn::init::normal_(up->weight, 0, std::sqrt(2 / (4 * static_cast<double>(options.trunk().width))));
  torch::nn::init::zeros_(up->bias);
  for (const auto& norm : norms) set_identity(*norm);
}

}  // namespace wkv::models
