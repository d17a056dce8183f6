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
             const TrainConfig::Optimizer& options, ProcessGroup* group)
    : options_(options), ranks_(group) {
  freeze_others(model, options.train);
  const auto parameters = model.named_parameters();
  std::set<std::string> taken;
  for (const auto& settings : groups) {
    auto& slots =
        groups_.emplace_back(settings.learning_rate_scale, settings.weight_decay ? options.weight_decay : 0.0).slots;
    for (const auto& name : settings.names) {
      const auto* parameter = parameters.find(name);
      if (parameter == nullptr || !taken.insert(name).second)
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("{}: the parameter group's {} {}", model.family(), name,
                                parameter == nullptr ? "is no parameter" : "is in another group too"));
      if (!parameter->requires_grad()) continue;
      slots.push_back({.name = name, .parameter = *parameter});
    }
  }
  std::vector<int64_t> sizes;
  each_slot([&](const Slot& slot) { sizes.push_back(slot.parameter.numel()); });
  const auto ranges = own_ranges(sizes, group == nullptr ? 0 : group->rank(), group == nullptr ? 1 : group->size());
  size_t index = 0;
  for (auto& settings : groups_)
    for (auto& slot : settings.slots) {
      slot.own = ranges[index++];
      const auto zeros = [&] { return at::zeros_like(slot.own.of(slot.parameter.detach())); };
      slot.exp_avg = zeros();
      slot.exp_avg_sq = zeros();
    }
}

std::vector<at::Tensor> AdamW::parameters() const {
  std::vector<at::Tensor> parameters;
  each_slot([&](const Slot& slot) { parameters.push_back(slot.parameter.detach()); });
  return parameters;
}

double AdamW::gradient_norm() const {
  std::vector<at::Tensor> gradients;
  each_slot([&](const Slot& slot) {
    if (slot.parameter.grad().defined()) gradients.push_back(slot.parameter.grad());
  });
  if (gradients.empty()) return 0.0;
  return at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients))).item<double>();
}

void AdamW::step(int64_t step, double learning_rate, double beta1, double divisor) {
  const auto divisor_tensor = at::scalar_tensor(divisor, at::kFloat);
  const auto step_tensor = at::scalar_tensor(step, at::kFloat);
  for (auto& group : groups_) {
    std::vector<at::Tensor> parameters, gradients, exp_avgs, exp_avg_sqs;
    for (auto& slot : group.slots) {
      if (!slot.parameter.grad().defined() || slot.exp_avg.numel() == 0) continue;
      parameters.push_back(slot.own.of(slot.parameter.detach()));
      gradients.push_back(slot.own.of(slot.parameter.grad().contiguous()));
      exp_avgs.push_back(slot.exp_avg);
      exp_avg_sqs.push_back(slot.exp_avg_sq);
    }
    const std::vector<at::Tensor> steps(parameters.size(), step_tensor);
    at::_fused_adamw_(parameters, gradients, exp_avgs, exp_avg_sqs, {}, steps,
                      learning_rate * group.learning_rate_scale, beta1, options_.beta2, group.weight_decay,
                      options_.eps, /*amsgrad=*/false, /*maximize=*/false, /*grad_scale=*/divisor_tensor);
  }
  if (ranks_ != nullptr) share_parts(this->parameters(), *ranks_);
}

void AdamW::clear_gradients() {
  for (auto& group : groups_)
    for (auto& slot : group.slots) slot.parameter.mutable_grad().reset();
}

int64_t AdamW::trained_elements() const {
  int64_t count = 0;
  each_slot([&](const Slot& slot) { count += slot.parameter.numel(); });
  return count;
}

std::vector<at::Tensor> AdamW::whole(at::Tensor Slot::*moment) const {
  std::vector<at::Tensor> parts;
  each_slot([&](const Slot& slot) {
    parts.push_back(ranks_ == nullptr ? (slot.*moment).view(slot.parameter.sizes()) : slot.*moment);
  });
  return ranks_ == nullptr ? parts : gather_parts(parts, parameters(), *ranks_);
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::moments() const {
  const auto exp_avgs = whole(&Slot::exp_avg), exp_avg_sqs = whole(&Slot::exp_avg_sq);
  std::vector<std::pair<std::string, at::Tensor>> moments;
  if (exp_avgs.empty()) return moments;
  size_t index = 0;
  each_slot([&](const Slot& slot) {
    moments.emplace_back(slot.name + ".exp_avg", exp_avgs[index]);
    moments.emplace_back(slot.name + ".exp_avg_sq", exp_avg_sqs[index++]);
  });
  return moments;
}

void AdamW::assign_moments(const std::function<at::Tensor(const std::string& name, const at::Tensor& like)>& stored) {
  each_slot([&](const Slot& slot) {
    slot.exp_avg.copy_(slot.own.of(stored(slot.name + ".exp_avg", slot.parameter)));
    slot.exp_avg_sq.copy_(slot.own.of(stored(slot.name + ".exp_avg_sq", slot.parameter)));
  });
}

}  // namespace wkv::zoo
