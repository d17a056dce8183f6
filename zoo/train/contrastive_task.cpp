#include "train/contrastive_task.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <fmt/format.h>

#include <cmath>
#include <map>

#include "train/evaluation_mode.h"
#include "train/new_vision_model.h"
#include "train/random_bits.h"
#include "wkv/error.h"
#include "wkv/zoo/embeddings.h"
#include "wkv/zoo/metrics.h"
#include "wkv/zoo/zero_shot.h"

namespace wkv::zoo {
namespace {

constexpr uint64_t kCaptionPurpose = 100;  // beside those of augmentation

std::shared_ptr<models::RWKVCLIPImpl> starting_clip(const TrainConfig& config, const Tokenizer& tokenizer) {
  if (config.model.checkpoint.empty()) return new_rwkv_clip(config.model, tokenizer.vocab_size());
  const auto model = std::dynamic_pointer_cast<models::RWKVCLIPImpl>(model_to_tune(config.model));
  if (model->options().vocab != tokenizer.vocab_size())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("data.tokenizer: {} has {} tokens, model.checkpoint {}", config.data.tokenizer,
                            tokenizer.vocab_size(), model->options().vocab));
  return model;
}

at::Tensor token_rows(const Tokenizer& tokenizer, const std::vector<std::string>& texts, int64_t context) {
  std::vector<at::Tensor> rows;
  for (const auto& text : texts) rows.push_back(at::tensor(tokenizer.encode_row(text, context), at::kLong));
  return at::stack(rows);
}

}  // namespace

ContrastiveTask::ContrastiveTask(std::shared_ptr<models::RWKVCLIPImpl> model, ContrastiveData data,
                                 const TrainConfig& config, const Rank& rank)
    : ImageTask(data.train.images.size(), config, rank), model_(std::move(model)), data_(std::move(data)) {}

std::vector<models::ParameterGroup> ContrastiveTask::parameter_groups() const {
  models::ParameterGroup all{.names = {}, .weight_decay = true};
  for (const auto& parameter : model_->named_parameters()) all.names.push_back(parameter.key());
  return {all};
}

at::Tensor ContrastiveTask::loss(int64_t index) {
  std::vector<int64_t> files;
  std::vector<uint64_t> bits;
  std::vector<std::string> texts;
  for (const auto& sample : samples(index)) {
    files.push_back(sample.image);
    bits.push_back(sample.bits);
    const auto& captions = data_.train.captions[static_cast<size_t>(sample.image)];
    texts.push_back(captions[draw_caption(captions.size(), config_.data.caption_weights,
                                          random_bits(sample.bits, kCaptionPurpose))]);
  }
  const at::Tensor images = data_.train.images.read(files, config_.data.augment, bits);
  const auto output = model_->forward(images, token_rows(*data_.tokenizer, texts, model_->options().context));
  const c10::impl::ExcludeDispatchKeyGuard in_fp32(c10::DispatchKey::AutocastCPU);  // cosines, times up to 100
  return models::contrastive_loss(output.image_features, output.text_features, output.logit_scale, rank_.group);
}

void ContrastiveTask::constrain_parameters() {
  const at::NoGradGuard no_grad;
  model_->named_parameters()["logit_scale"].clamp_(0, std::log(100));
}

std::vector<Measurement> ContrastiveTask::evaluate() {
  if (!data_.held_out) return {};
  const EvaluationMode evaluating(*model_);
  const auto& [images, captions] = *data_.held_out;
  std::vector<at::Tensor> image_parts, text_parts;
  std::vector<std::string> distinct;     // captions
  std::map<std::string, int64_t> place;  // of each in `distinct`
  std::vector<int64_t> targets;          // of the images there
  for_each_part(images.size(), config_.batch, [&](const std::vector<int64_t>& files) {
    image_parts.push_back(embed_images(*model_, images.read(files)));
    std::vector<std::string> texts;
    for (const int64_t file : files) {
      const auto& text = texts.emplace_back(captions[static_cast<size_t>(file)].front());
      const auto [item, is_new] = place.emplace(text, static_cast<int64_t>(distinct.size()));
      if (is_new) distinct.push_back(text);
      targets.push_back(item->second);
    }
    text_parts.push_back(embed_texts(*model_, *data_.tokenizer, texts));
  });
  const at::Tensor image_vectors = at::cat(image_parts), text_vectors = at::cat(text_parts);
  const auto recall = score_retrieval(image_vectors, text_vectors, at::arange(images.size(), at::kLong));
  std::vector<Measurement> measurements;
  const auto add = [&](const std::string& name, double value) { measurements.push_back({"held_out_" + name, value}); };
  add("image_to_text_recall_at_1", recall.image_to_text.at1);
  add("image_to_text_recall_at_5", recall.image_to_text.at5);
  add("text_to_image_recall_at_1", recall.text_to_image.at1);
  add("text_to_image_recall_at_5", recall.text_to_image.at5);
  std::vector<ClassNames> classes;
  for (const auto& text : distinct) classes.push_back({text});
  const auto classifier = zero_shot_classifier(*model_, *data_.tokenizer, classes, {"{}"});
  const auto score = score_classification(zero_shot_logits(image_vectors, classifier), at::tensor(targets, at::kLong));
  add("zero_shot_accuracy", score.top1);
  add("zero_shot_chance", 1.0 / static_cast<double>(distinct.size()));
  return measurements;
}

nlohmann::ordered_json ContrastiveTask::data_card() const {
  nlohmann::ordered_json card{{"pipeline", model_->preprocessing()},
                              {"tokenizer", config_.data.tokenizer},
                              {"training_images", data_.train.images.size()}};
  if (data_.held_out) card["held_out_images"] = data_.held_out->images.size();
  return card;
}

std::unique_ptr<Task> make_contrastive_task(const TrainConfig& config, const Rank& rank) {
  const auto refuse_key = [](const std::string& message) { throw Error(ErrorCode::invalid_argument, message); };
  if (config.data.captions.empty()) refuse_key("data.captions is missing: the texts that go with data.images");
  if (config.data.held_out_captions.empty() && !config.data.held_out_images.empty())
    refuse_key("data.held_out_captions is missing: the texts that go with data.held_out_images");
  if (config.batch / rank.count < 2) refuse_key("batch must be at least 2: the loss compares the images of a batch");
  if (config.accumulate > 1)
    refuse_key("accumulate must be 1: the loss compares all images of a batch, so that a larger one is another loss");
  auto tokenizer = load_tokenizer(config.data.tokenizer);
  auto model = starting_clip(config, *tokenizer);
  const std::string pipeline = model->preprocessing();
  if (!config.data.pipeline.empty() && config.data.pipeline != pipeline)
    refuse_key(fmt::format("data.pipeline must be {}, the model's own, got {}", pipeline, config.data.pipeline));
  ContrastiveData data{.tokenizer = std::move(tokenizer),
                       .train = read_training_captions(config.data, pipeline),
                       .held_out = std::nullopt};
  if (!config.data.held_out_captions.empty()) data.held_out = read_held_out_captions(config.data, pipeline);
  return std::make_unique<ContrastiveTask>(std::move(model), std::move(data), config, rank);
}

}  // namespace wkv::zoo
