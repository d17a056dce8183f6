// What a model is trained for: its data, the loss of a batch, and how well it does.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/process_group.h"
#include "wkv/models/contrastive_loss.h"
#include "wkv/models/language_model.h"
#include "wkv/zoo/train.h"

namespace wkv::zoo {

// Which of the processes that share each batch this one is: it takes batch / count rows, from row index * batch /
// count.
struct Rank {
  int64_t index = 0, count = 1;
  int64_t rows(int64_t batch) const { return batch / count; }
  int64_t first_row(int64_t batch) const { return index * rows(batch); }
  // Of these processes, for a loss that compares their rows; none: one process.
  std::optional<models::ProcessGroup> group = std::nullopt;
  // The ranks that share its rows, each with consecutive tokens of them: this one is number `index` of `count`. Null:
  // it has its rows whole.
  struct Sequence {
    ProcessGroup* ranks = nullptr;
    int64_t index = 0, count = 1;
  } sequence = {};
};

class Task {
 public:
  virtual ~Task() = default;

  virtual models::Model& model() = 0;
  virtual std::vector<models::ParameterGroup> parameter_groups() const = 0;

  // The mean loss of this rank's rows of batch number `index`. Which data that is, and what is drawn at random, depends
  // on the recipe and the number alone, so nothing of it has to be saved to continue.
  virtual at::Tensor loss(int64_t index) = 0;
  // After an optimizer step.
  virtual void constrain_parameters() {}
  // Tensors that the next batches depend on beside the parameters, [name, tensor], rows of this rank; assign: puts in
  // place what an earlier process had, checked to be like these.
  virtual std::vector<std::pair<std::string, at::Tensor>> carried() { return {}; }
  virtual void assign_carried(const std::vector<at::Tensor>& /*tensors*/) {}

  // After the last step, before the model is written: what of the task's own stands beside it in the run's folder.
  // Returns whether the model is to be written.
  virtual bool finish(const std::filesystem::path& /*output*/) { return true; }

  // By name, on what is held out; empty where nothing is. With the parameters as they are.
  virtual std::vector<Measurement> evaluate() = 0;

  virtual const char* unit() const = 0;                  // of data: "tokens", "images"
  virtual int64_t units_per_batch() const = 0;           // of all ranks
  virtual double epochs(int64_t batches) const = 0;      // that so many batches make
  virtual std::string describe(double loss) const = 0;   // for a line of progress: "loss 1.2345  bits/byte 1.78"
  virtual nlohmann::ordered_json data_card() const = 0;  // what the finished model's card says of the data
  // Text files that the finished model needs beside it, by name.
  virtual std::map<std::string, std::string> companion_files() const { return {}; }
};

// The task of the recipe's model: a new one, or that of a checkpoint. Throws wkv::Error.
WKV_API std::unique_ptr<Task> make_task(const TrainConfig& config, const Rank& rank);

// The model of a checkpoint, its parameters in fp32; refuses what is quantised. With states to tune where that is
// asked for.
std::shared_ptr<models::Model> model_to_tune(const TrainConfig::Model& model, bool state_tuning = false);

int64_t count_parameters(const models::Model& model);

}  // namespace wkv::zoo
