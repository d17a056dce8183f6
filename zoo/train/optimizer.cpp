#include "train/optimizer.h"

#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <set>

#include "wkv/error.h"

namespace wkv::zoo {

namespace {

// Freezes all but the parameters whose names have one of these parts.
void freeze_others(const models::Model& model, const std::vector<std::string>& parts) {
  if (parts.empty()) return;
  std::set<std::string> used;
  for (auto& parameter : model.named_parameters()) {
    bool trained = false;
    for (const std::string& part : parts) {
      if (parameter.key().find(part) == std::string::npos) continue;
      trained = true;
      used.insert(part);
    }
    parameter.value().set_requires_grad(trained);
  }
  for (const std::string& part : parts) {
    if (!used.contains(part))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("optimizer.train: no parameter of this {} has {} in its name", model.family(), part));
  }
}

}  // namespace

AdamW::AdamW(const models::Model& model, const std::vector<models::ParameterGroup>& groups,
             const TrainConfig::Optimizer& options)
    : options_(options) {
  freeze_others(model, options.train);
  const auto parameters = model.named_parameters();
  std::set<std::string> taken;
  for (const auto& group : groups) {
    auto& slots =
        groups_.emplace_back(group.learning_rate_scale, group.weight_decay ? options.weight_decay : 0.0).slots;
    for (const auto& name : group.names) {
      const auto* parameter = parameters.find(name);
      if (parameter == nullptr || !taken.insert(name).second)
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("{}: the parameter group's {} {}", model.family(), name,
                                parameter == nullptr ? "is no parameter" : "is in another group too"));
      if (!parameter->requires_grad()) continue;
      const auto zeros = [&] { return at::zeros_like(parameter->detach()); };
      slots.push_back({name, *parameter, zeros(), zeros()});
    }
  }
}

double AdamW::gradient_norm() const {
  std::vector<at::Tensor> gradients;
  for (const auto& group : groups_)
    for (const auto& slot : group.slots)
      if (slot.parameter.grad().defined()) gradients.push_back(slot.parameter.grad());
  if (gradients.empty()) return 0.0;
  return at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients))).item<double>();
}

void AdamW::step(int64_t step, double learning_rate, double beta1, double divisor) {
  const auto divisor_tensor = at::scalar_tensor(divisor, at::kFloat);
  const auto step_tensor = at::scalar_tensor(step, at::kFloat);
  for (auto& group : groups_) {
    std::vector<at::Tensor> parameters, gradients, exp_avgs, exp_avg_sqs;
    for (auto& slot : group.slots) {
      if (!slot.parameter.grad().defined()) continue;
      parameters.push_back(slot.parameter.detach());
      gradients.push_back(slot.parameter.grad());
      exp_avgs.push_back(slot.exp_avg);
      exp_avg_sqs.push_back(slot.exp_avg_sq);
    }
    const std::vector<at::Tensor> steps(parameters.size(), step_tensor);
    at::_fused_adamw_(parameters, gradients, exp_avgs, exp_avg_sqs, {}, steps,
                      learning_rate * group.learning_rate_scale, beta1, options_.beta2, group.weight_decay,
                      options_.eps, /*amsgrad=*/false, /*maximize=*/false, /*grad_scale=*/divisor_tensor);
  }
}

void AdamW::clear_gradients() {
  for (auto& group : groups_)
    for (auto& slot : group.slots) slot.parameter.mutable_grad().reset();
}

int64_t AdamW::trained_elements() const {
  int64_t count = 0;
  for (const auto& group : groups_)
    for (const auto& slot : group.slots) count += slot.parameter.numel();
  return count;
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::moments() const {
  std::vector<std::pair<std::string, at::Tensor>> moments;
  for (const auto& group : groups_)
    for (const auto& slot : group.slots) {
      moments.emplace_back(slot.name + ".exp_avg", slot.exp_avg);
      moments.emplace_back(slot.name + ".exp_avg_sq", slot.exp_avg_sq);
    }
  return moments;
}

}  // namespace wkv::zoo
