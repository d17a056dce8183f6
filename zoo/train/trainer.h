// One training run: a task, the optimizer and the place in the data.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "train/optimizer.h"
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
  // The task outlives the trainer.
  Trainer(Task& task, const TrainConfig& config);

  // The next optimizer step. Throws wkv::Error when the loss or a gradient is not finite; the parameters are then as
  // before.
  StepResult step();

  int64_t steps_done() const { return steps_done_; }
  double epochs() const { return task_.epochs(steps_done_ * config_.accumulate); }
  int64_t trained_elements() const { return optimizer_.trained_elements(); }
  int64_t units_per_step() const { return task_.units_per_batch() * config_.accumulate; }
  const Task& task() const { return task_; }

  // Everything that the next steps depend on, as files in a folder; notes: the caller's own, given back by restore.
  void save(const std::filesystem::path& folder, std::map<std::string, std::string> notes) const;
  // Throws wkv::Error when the folder's files don't fit the model.
  std::map<std::string, std::string> restore(const std::filesystem::path& folder);

 private:
  double accumulate_gradients(int64_t batch);

  Task& task_;
  TrainConfig config_;
  AdamW optimizer_;
  int64_t steps_done_ = 0;
};

// The model's parameters and buffers under their published names, in this dtype (undefined: as they are).
WKV_API std::vector<std::pair<std::string, at::Tensor>> named_tensors(const models::Model& model,
                                                                      at::ScalarType dtype = at::ScalarType::Undefined);

}  // namespace wkv::zoo
