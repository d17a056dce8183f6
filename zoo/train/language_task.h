// Language models on text.
#pragma once
#include <memory>
#include <optional>

#include "train/data.h"
#include "train/sequence_parallel.h"
#include "train/task.h"

namespace wkv::zoo {

class WKV_API LanguageTask : public Task {
 public:
  LanguageTask(std::shared_ptr<models::LanguageModel> model, TextData data, const TrainConfig& config,
               const Rank& rank = {});

  models::Model& model() override { return *model_; }
  std::vector<models::ParameterGroup> parameter_groups() const override;
  at::Tensor loss(int64_t index) override;
  std::vector<std::pair<std::string, at::Tensor>> carried() override;
  void assign_carried(const std::vector<at::Tensor>& tensors) override;
  bool finish(const std::filesystem::path& output) override;
  std::vector<Measurement> evaluate() override;
  const char* unit() const override { return "tokens"; }
  int64_t units_per_batch() const override { return config_.batch * config_.context; }
  double epochs(int64_t batches) const override { return plan_.epochs(batches); }
  std::string describe(double loss) const override;
  nlohmann::ordered_json data_card() const override;

 private:
  std::shared_ptr<models::LanguageModel> model_;
  TextData data_;
  TrainConfig config_;
  at::Tensor loss_of_part(const at::Tensor& tokens, const std::vector<bool>& fresh);
  void bring_carried();

  BatchPlan plan_;
  Rank rank_;
  int64_t first_row_, rows_;
  std::optional<StateRelay> relay_;  // sequence parallelism
  bool carried_elsewhere_ = false;   // on the last of the ranks that share the rows, where the first needs it
  models::State carried_;            // of the rows, where data.order is consecutive
};

std::unique_ptr<Task> make_language_task(const TrainConfig& config, const Rank& rank);

}  // namespace wkv::zoo
