// One training run: a task, the optimizer and the place in the data; or one rank of it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/gradient_buckets.h"
#include "train/optimizer.h"
#include "train/process_group.h"
#include "train/task.h"
#include "wkv/zoo/train.h"

namespace wkv::zoo {

struct StepResult {
  double loss = 0.0;           // mean over the step's batches
  double gradient_norm = 0.0;  // before clipping
  double learning_rate = 0.0;
};

class WKV_API Trainer {
 public:
  // The task and the group outlive the trainer. ranks: those that train the model together, none: this process alone.
  // They begin with rank 0's parameters and make the same calls.
  Trainer(Task& task, const TrainConfig& config, ProcessGroup* ranks = nullptr);

  // The next optimizer step, its results those of all ranks. Throws wkv::Error when the loss or a gradient is not
  // finite; the parameters are then as before.
  StepResult step();

  int64_t steps_done() const { return steps_done_; }
  double epochs() const { return task_.epochs(steps_done_ * config_.accumulate); }
  int64_t trained_elements() const { return optimizer_.trained_elements(); }
  int64_t units_per_step() const { return task_.units_per_batch() * config_.accumulate; }
  const Task& task() const { return task_; }

  // Everything that the next steps depend on beside the model, brought together on rank 0; none on other ranks.
  std::vector<std::pair<std::string, at::Tensor>> gather() const;
  // That and the model as files in a folder, which say nothing of the ranks; notes: the caller's own, given back by
  // restore. On rank 0 alone.
  void save(const std::filesystem::path& folder, const std::vector<std::pair<std::string, at::Tensor>>& gathered,
            std::map<std::string, std::string> notes) const;
  // Throws wkv::Error when the folder's files don't fit the model.
  std::map<std::string, std::string> restore(const std::filesystem::path& folder);

 private:
  double accumulate_gradients(int64_t batch, bool last);

  Task& task_;
  TrainConfig config_;
  ProcessGroup* ranks_;
  AdamW optimizer_;
  std::optional<GradientBuckets> buckets_;
  int64_t steps_done_ = 0;
};

// The model's parameters and buffers under their published names, in this dtype (undefined: as they are).
WKV_API std::vector<std::pair<std::string, at::Tensor>> named_tensors(const models::Model& model,
                                                                      at::ScalarType dtype = at::ScalarType::Undefined);

}  // namespace wkv::zoo
