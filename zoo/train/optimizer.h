// AdamW over a model's parameter groups.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "wkv/models/language_model.h"
#include "wkv/zoo/train.h"

namespace wkv::zoo {

class WKV_API AdamW {
 public:
  // Parameters that are not trained (options.train) are frozen: they get no gradients. Throws wkv::Error for a group
  // that names a parameter that the model lacks, or that another group has, and for a part that is in no name.
  AdamW(const models::Model& model, const std::vector<models::ParameterGroup>& groups,
        const TrainConfig::Optimizer& options);

  // Of all gradients together, not yet divided.
  double gradient_norm() const;
  // step: 1 for the first. Gradients are divided by `divisor` on the way; parameters without one stay as they are.
  void step(int64_t step, double learning_rate, double beta1, double divisor);
  void clear_gradients();
  int64_t trained_elements() const;

  // The live moments, [name of the parameter and moment, tensor]: what a checkpoint keeps.
  std::vector<std::pair<std::string, at::Tensor>> moments() const;

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter, exp_avg, exp_avg_sq;
  };
  struct Group {
    double learning_rate_scale, weight_decay;
    std::vector<Slot> slots;
  };
  TrainConfig::Optimizer options_;
  std::vector<Group> groups_;
};

}  // namespace wkv::zoo
