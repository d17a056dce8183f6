// Image classifiers, VRWKV and VRWKV6, on folders of labelled images.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/image_task.h"
#include "wkv/models/vision_model.h"

namespace wkv::zoo {

struct LabelledFiles {
  ImageFiles images;
  std::vector<int64_t> labels;
};

struct ClassificationData {
  std::vector<std::string> names;  // of the classes
  LabelledFiles train;
  std::optional<LabelledFiles> held_out;
};

class WKV_API ClassificationTask : public ImageTask {
 public:
  ClassificationTask(std::shared_ptr<models::VisionModel> model, ClassificationData data, const TrainConfig& config,
                     const Rank& rank = {});

  models::Model& model() override { return *model_; }
  // As published: all but norms and biases are decayed.
  std::vector<models::ParameterGroup> parameter_groups() const override;
  at::Tensor loss(int64_t index) override;
  // held_out_loss, held_out_accuracy and, of five classes or more, held_out_top5_accuracy.
  std::vector<Measurement> evaluate() override;
  nlohmann::ordered_json data_card() const override;
  std::map<std::string, std::string> companion_files() const override;  // labels.txt

 private:
  bool mixes() const { return config_.data.augment.mixup > 0 || config_.data.augment.cutmix > 0; }

  std::shared_ptr<models::VisionModel> model_;
  ClassificationData data_;
};

std::unique_ptr<Task> make_classification_task(const TrainConfig& config, const Rank& rank);

}  // namespace wkv::zoo
