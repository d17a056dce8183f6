#include "train/task.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "train/classification_task.h"
#include "train/config.h"
#include "train/contrastive_task.h"
#include "train/language_task.h"
#include "wkv/error.h"
#include "wkv/zoo/load.h"

namespace wkv::zoo {
namespace {

// Keys that only some tasks read.
const std::vector<std::string> kOfText = {
    "data.files",     "data.held_out", "data.order",      "data.reset",      "context",      "optimizer.logit_penalty",
    "model.layers",   "model.width",   "model.head_size", "model.ffn_width", "model.vocab",  "model.perspectives",
    "model.interval", "model.ranks.",  "sequence_ranks",  "lora.",           "state_tuning", "gradient_checkpointing"};
const std::vector<std::string> kOfImages = {"data.images", "data.held_out_images", "data.pipeline", "data.augment."};
const std::vector<std::string> kOfClasses = {"data.labels", "data.augment.mixup", "data.augment.cutmix",
                                             "optimizer.label_smoothing"};
const std::vector<std::string> kOfCaptions = {"data.captions", "data.held_out_captions", "data.caption_weights"};

}  // namespace

std::shared_ptr<models::Model> model_to_tune(const TrainConfig::Model& m, bool state_tuning) {
  const Description description = describe(m.checkpoint, {.config = m.config});
  for (const auto& [dtype, count] : description.dtypes) {
    if (!parameter_dtypes().contains(dtype)) {
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("model.checkpoint: {}: its matrices are {}: start from the original, or convert it to fp32",
                      m.checkpoint, dtype));
    }
  }
  if (!state_tuning) return load(m.checkpoint, {.config = m.config, .dtype = at::kFloat});
  auto config = nlohmann::ordered_json::parse(description.config_json);
  config["train_type"] = "states";
  const auto model = load(m.checkpoint, {.config = config.dump(), .dtype = at::kFloat});
  const auto parameters = model->named_parameters();
  if (std::ranges::none_of(parameters, [](const auto& item) { return item.key().ends_with(".time_state"); }))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("state_tuning: {}: {} has no state to tune, rwkv5, rwkv6 and rwkv7 have", m.checkpoint,
                            model->family()));
  return model;
}

int64_t count_parameters(const models::Model& model) {
  int64_t count = 0;
  for (const auto& parameter : model.parameters()) count += parameter.numel();
  return count;
}

std::unique_ptr<Task> make_task(const TrainConfig& config, const Rank& rank) {
  const auto& m = config.model;
  const bool is_new = m.checkpoint.empty();
  const std::string family = is_new ? m.family : describe(m.checkpoint, {.config = m.config}).family;
  const auto refuse = [&](const std::vector<std::string>& keys) { require_defaults(config, keys, family); };
  if (m.family != family) require_defaults(config, {"model.family"}, fmt::format("a model.checkpoint of {}", family));
  if (family == "rwkv_clip") {
    refuse(kOfText);
    refuse(kOfClasses);
    return make_contrastive_task(config, rank);
  }
  if (family == "vrwkv" || family == "vrwkv6") {
    refuse(kOfText);
    refuse(kOfCaptions);
    refuse({"data.tokenizer"});
    return make_classification_task(config, rank);
  }
  refuse(kOfImages);
  refuse(kOfClasses);
  refuse(kOfCaptions);
  if (is_new) refuse({"model.config"});
  return make_language_task(config, rank);
}

}  // namespace wkv::zoo
