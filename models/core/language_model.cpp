// What all language models share: forward from its two halves, and the loss with upstream's logit penalty.
#include "wkv/models/language_model.h"

#include <ATen/Functions.h>

namespace wkv::models {

Output LanguageModel::forward(const at::Tensor& tokens, const State& state) {
  auto [values, next] = hidden(tokens, state);
  return {logits(values), std::move(next)};
}

at::Tensor LanguageModel::loss(const at::Tensor& tokens, const at::Tensor& targets,
                               std::optional<double> logit_penalty) {
  return loss_and_state(tokens, targets, {}, logit_penalty).first;
}

std::pair<at::Tensor, State> LanguageModel::loss_and_state(const at::Tensor& tokens, const at::Tensor& targets,
                                                           const State& state, std::optional<double> logit_penalty) {
  auto [logits, next] = forward(tokens, state);
  const at::Tensor z = logits.flatten(0, 1);  // [B*T, V]
  const at::Tensor loss = at::cross_entropy_loss(z, targets.flatten());
  const double factor = logit_penalty.value_or(recipe_logit_penalty());
  if (factor == 0 || z.size(0) == 0) return {loss, std::move(next)};
  // d/dz of factor/2 * max(z)^2 / (B*T) is the penalty; subtracting its own value leaves the loss as it was.
  const at::Tensor largest = std::get<0>(z.max(/*dim=*/1));
  const at::Tensor penalty = largest.square().sum() * (0.5 * factor / static_cast<double>(z.size(0)));
  return {loss + (penalty - penalty.detach()), std::move(next)};
}

}  // namespace wkv::models
