#include "train/classification_task.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "train/augmentation.h"
#include "train/evaluation_mode.h"
#include "train/new_vision_model.h"
#include "vision/annotations.h"
#include "wkv/error.h"
#include "wkv/models/vrwkv.h"
#include "wkv/models/vrwkv6.h"
#include "wkv/zoo/metrics.h"

namespace wkv::zoo {
namespace {

[[noreturn]] void refuse_data(const std::string& message) { throw Error(ErrorCode::invalid_argument, message); }

std::vector<std::string> class_names(const TrainConfig::Data& data) {
  std::vector<std::string> names = data.labels;
  if (names.empty()) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(data.images, error))
      if (entry.is_directory()) names.push_back(entry.path().filename().string());
    if (error) refuse_data(fmt::format("data.images: {}: {}", data.images, error.message()));
    std::ranges::sort(names);
  }
  if (names.size() < 2)
    refuse_data(fmt::format("data.images: {}: expected a folder for each of two classes or more, got {}", data.images,
                            names.size()));
  for (const auto& name : names)
    if (name.empty() || name.find_first_of("\r\n") != std::string::npos)
      refuse_data(fmt::format("data.labels: \"{}\" can't be the name of a class", name));
  if (std::set(names.begin(), names.end()).size() != names.size()) refuse_data("data.labels: a name is there twice");
  return names;
}

LabelledFiles read_images(const std::string& key, const std::string& folder, const std::vector<std::string>& names,
                          const std::string& pipeline) {
  std::vector<ClassNames> classes;
  for (const auto& name : names) classes.push_back({name});
  std::vector<std::string> paths;
  std::vector<int64_t> labels;
  try {
    for (auto& image : read_labelled_folder(folder, classes).images) {
      paths.push_back(std::move(image.path));
      labels.push_back(image.label);
    }
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", key, error.what()));
  }
  return {ImageFiles(std::move(paths), pipeline, key), std::move(labels)};
}

ClassificationData read_data(const TrainConfig::Data& config, std::vector<std::string> names,
                             const std::string& pipeline) {
  ClassificationData data{.names = std::move(names),
                          .train = read_images("data.images", config.images, data.names, pipeline),
                          .held_out = std::nullopt};
  if (!config.held_out_images.empty())
    data.held_out = read_images("data.held_out_images", config.held_out_images, data.names, pipeline);
  for (size_t i = 0; i < data.names.size(); ++i)
    if (std::ranges::find(data.train.labels, static_cast<int64_t>(i)) == data.train.labels.end())
      refuse_data(fmt::format("data.images: {}: no image of the class {}", config.images, data.names[i]));
  return data;
}

// The same model with another pipeline or, where it has another number of classes, a new head.
template <typename Impl>
std::shared_ptr<models::VisionModel> adapted(const std::shared_ptr<Impl>& model, int64_t classes,
                                             const std::string& pipeline) {
  auto options = model->options();
  const bool new_head = options.classifier.classes != classes;
  options.classifier.classes = classes;
  if (!pipeline.empty()) options.classifier.preprocessing = pipeline;
  if (options == model->options()) return model;
  const auto made = std::make_shared<Impl>(options);
  const at::NoGradGuard no_grad;
  const auto old = model->named_parameters();
  for (auto& parameter : made->named_parameters()) {
    const bool kept = !new_head || !parameter.key().starts_with("head.");
    if (kept) parameter.value().copy_(old[parameter.key()]);
  }
  return made;
}

std::shared_ptr<models::VisionModel> starting_classifier(const TrainConfig& config, int64_t classes) {
  if (config.model.checkpoint.empty()) return new_classifier(config.model, classes, config.data.pipeline);
  const auto loaded = model_to_tune(config.model);
  if (const auto six = std::dynamic_pointer_cast<models::VRWKV6Impl>(loaded))
    return adapted(six, classes, config.data.pipeline);
  return adapted(std::dynamic_pointer_cast<models::VRWKVImpl>(loaded), classes, config.data.pipeline);
}

bool is_norm_or_bias(const std::string& name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return false;
  const size_t before = name.rfind('.', dot - 1);
  const std::string module = name.substr(before + 1, dot - before - 1);  // "ln1", "ln_x", "key_norm", "fc"
  return name.ends_with(".bias") || module.starts_with("ln") || module.ends_with("norm");
}

}  // namespace

ClassificationTask::ClassificationTask(std::shared_ptr<models::VisionModel> model, ClassificationData data,
                                       const TrainConfig& config, const Rank& rank)
    : ImageTask(data.train.images.size(), config, rank), model_(std::move(model)), data_(std::move(data)) {
  if (mixes() && rows() % 2 != 0)
    refuse_data(fmt::format("batch: mixup and cutmix join pairs of images, so it must be a multiple of {}, got {}",
                            2 * rank.count, config.batch));
}

std::vector<models::ParameterGroup> ClassificationTask::parameter_groups() const {
  models::ParameterGroup plain, decayed{.names = {}, .weight_decay = true};
  for (const auto& parameter : model_->named_parameters())
    (is_norm_or_bias(parameter.key()) ? plain : decayed).names.push_back(parameter.key());
  return {plain, decayed};
}

at::Tensor ClassificationTask::loss(int64_t index) {
  const auto& augment = config_.data.augment;
  std::vector<int64_t> files, labels;
  std::vector<uint64_t> bits;
  for (const auto& sample : samples(index)) {
    files.push_back(sample.image);
    labels.push_back(data_.train.labels[static_cast<size_t>(sample.image)]);
    bits.push_back(sample.bits);
  }
  at::Tensor images = data_.train.images.read(files, augment, bits);
  const at::Tensor targets = at::tensor(labels, at::kLong);
  const auto losses = [&](const at::Tensor& logits, const at::Tensor& classes) {
    return at::cross_entropy_loss(logits.to(at::kFloat), classes, {}, at::Reduction::None, -100,
                                  config_.optimizer.label_smoothing);
  };
  if (!mixes()) return losses(model_->forward(images), targets).mean();

  // A row's partner is its neighbour in the batch: 1 of 0, 0 of 1, 3 of 2, ...
  const auto exchanged = [](const at::Tensor& rows) { return rows.unflatten(0, {-1, 2}).flip(1).flatten(0, 1); };
  const at::Tensor partners = exchanged(images);
  const int64_t side = data_.train.images.side();
  std::vector<double> shares;
  for (int64_t row = 0; row < rows(); ++row) {
    const auto mixing = draw_mixing(augment, bits[static_cast<size_t>(row)], side, side);
    const auto part = [&](const at::Tensor& rows) {
      return rows[row]
          .narrow(1, mixing.box.rows.first, mixing.box.rows.length)
          .narrow(2, mixing.box.columns.first, mixing.box.columns.length);
    };
    if (mixing.cut)
      part(images).copy_(part(partners));
    else
      images[row].mul_(mixing.share).add_(partners[row], 1 - mixing.share);
    shares.push_back(mixing.share);
  }
  const at::Tensor logits = model_->forward(images), share = at::tensor(shares, at::kFloat);
  return (share * losses(logits, targets) + (1 - share) * losses(logits, exchanged(targets))).mean();
}

std::vector<Measurement> ClassificationTask::evaluate() {
  if (!data_.held_out) return {};
  const EvaluationMode evaluating(*model_);
  const auto& [images, labels] = *data_.held_out;
  std::vector<at::Tensor> logits;
  for_each_part(images.size(), config_.batch, [&](const std::vector<int64_t>& files) {
    logits.push_back(model_->forward(images.read(files)).to(at::kFloat));
  });
  const at::Tensor all = at::cat(logits), targets = at::tensor(labels, at::kLong);
  const auto score = score_classification(all, targets);
  std::vector<Measurement> measurements = {{"held_out_loss", at::cross_entropy_loss(all, targets).item<double>()},
                                           {"held_out_accuracy", score.top1}};
  if (model_->classes() >= 5) measurements.push_back({"held_out_top5_accuracy", score.top5});
  return measurements;
}

nlohmann::ordered_json ClassificationTask::data_card() const {
  nlohmann::ordered_json card{
      {"pipeline", model_->preprocessing()}, {"classes", data_.names}, {"training_images", data_.train.images.size()}};
  if (data_.held_out) card["held_out_images"] = data_.held_out->images.size();
  return card;
}

std::map<std::string, std::string> ClassificationTask::companion_files() const {
  return {{"labels.txt", fmt::format("{}", fmt::join(data_.names, "\n"))}};
}

std::unique_ptr<Task> make_classification_task(const TrainConfig& config, const Rank& rank) {
  auto names = class_names(config.data);
  auto model = starting_classifier(config, static_cast<int64_t>(names.size()));
  auto data = read_data(config.data, std::move(names), model->preprocessing());
  return std::make_unique<ClassificationTask>(std::move(model), std::move(data), config, rank);
}

}  // namespace wkv::zoo
