// AdamW over a model's parameter groups. Ranks that train together divide it (ZeRO, stage 1: arXiv 1910.02054): each
// has the moments of its own elements, and updates these.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "train/process_group.h"
#include "train/sharding.h"
#include "wkv/models/language_model.h"
#include "wkv/zoo/train.h"

namespace wkv::zoo {

class WKV_API AdamW {
 public:
  // Parameters that are not trained (options.train) are frozen: they get no gradients. Throws wkv::Error for a group
  // that names a parameter that the model lacks, or that another group has, and for a part that is in no name.
  AdamW(const models::Model& model, const std::vector<models::ParameterGroup>& groups,
        const TrainConfig::Optimizer& options, ProcessGroup* group = nullptr);

  // Of all gradients together, not yet divided.
  double gradient_norm() const;
  // step: 1 for the first. Gradients, on all ranks the same, are divided by `divisor` on the way; parameters without
  // one stay as they are.
  void step(int64_t step, double learning_rate, double beta1, double divisor);
  void clear_gradients();
  int64_t trained_elements() const;

  // What a checkpoint keeps, [name of the parameter and moment, tensor]: gathered on rank 0, none on other ranks.
  std::vector<std::pair<std::string, at::Tensor>> moments() const;
  // stored: the tensor of this name, checked to be like this one.
  void assign_moments(const std::function<at::Tensor(const std::string& name, const at::Tensor& like)>& stored);

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter;
    ElementRange own;                // of the parameter
    at::Tensor exp_avg, exp_avg_sq;  // of these elements
  };
  struct Group {
    double learning_rate_scale, weight_decay;
    std::vector<Slot> slots;
  };
  template <typename Visit>
  void each_slot(Visit&& visit) const {
    for (const auto& group : groups_)
      for (const auto& slot : group.slots) visit(slot);
  }
  std::vector<at::Tensor> parameters() const;
  std::vector<at::Tensor> whole(at::Tensor Slot::*moment) const;

  TrainConfig::Optimizer options_;
  ProcessGroup* ranks_;
  std::vector<Group> groups_;
};

}  // namespace wkv::zoo
