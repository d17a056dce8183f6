// RWKV-CLIP on images with captions: arXiv 2406.06973.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/caption_data.h"
#include "train/image_task.h"
#include "wkv/models/contrastive_loss.h"
#include "wkv/models/rwkv_clip.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {

struct ContrastiveData {
  std::shared_ptr<const Tokenizer> tokenizer;
  CaptionedFiles train;
  std::optional<CaptionedFiles> held_out;
};

class WKV_API ContrastiveTask : public ImageTask {
 public:
  ContrastiveTask(std::shared_ptr<models::RWKVCLIPImpl> model, ContrastiveData data, const TrainConfig& config,
                  const Rank& rank = {});

  models::Model& model() override { return *model_; }
  std::vector<models::ParameterGroup> parameter_groups() const override;  // as published: everything is decayed
  at::Tensor loss(int64_t index) override;
  void constrain_parameters() override;  // logit_scale stays in [0, ln 100]
  // By the held-out images' first captions: held_out_image_to_text_recall_at_1, ..._at_5, the same of text_to_image,
  // and held_out_zero_shot_accuracy, of images among all different captions, beside held_out_zero_shot_chance.
  std::vector<Measurement> evaluate() override;
  nlohmann::ordered_json data_card() const override;

 private:
  std::shared_ptr<models::RWKVCLIPImpl> model_;
  ContrastiveData data_;
};

std::unique_ptr<Task> make_contrastive_task(const TrainConfig& config, const Rank& rank);

}  // namespace wkv::zoo
