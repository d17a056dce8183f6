// `wkv classify`: what an image shows, among the classes that a model was trained for.
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "cli/vision.h"
#include "wkv/error.h"
#include "wkv/models/vision_model.h"
#include "wkv/zoo/catalogue.h"

namespace wkv::cli {
namespace {

struct ClassifyArguments {
  VisionModelArguments model;
  ImageArguments images;
  std::string labels;
  int64_t top = 5;
  bool json = false;
};

std::shared_ptr<models::VisionModel> load_classifier(const VisionModelArguments& arguments) {
  auto model = std::dynamic_pointer_cast<models::VisionModel>(arguments.load());
  if (!model || model->family() == "vrwkv_segmenter") {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: not an image classifier{}", arguments.model,
                                                         model ? ": it is " + model->family() : "; try zero-shot"));
  }
  if (model->classes() == 0) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{}: a backbone without a head: it has features (wkv embed), and no classes", arguments.model));
  }
  return model;
}

// Of the model's card; empty: it has none.
std::vector<zoo::ClassNames> names_on_card(const std::string& model) {
  const auto card = zoo::card_of(model);
  std::vector<zoo::ClassNames> names;
  if (!card) return names;
  for (const std::string& name : card->classes) names.push_back({name});
  return names;
}

// Empty: no names are known, classes are shown by their indices.
std::vector<zoo::ClassNames> names_of(const std::string& model, int64_t classes, const std::string& labels) {
  constexpr int64_t kImagenetClasses = 1000;
  std::vector<zoo::ClassNames> names = labels.empty() ? names_on_card(model) : zoo::load_labels(labels);
  if (names.empty() && classes == kImagenetClasses) {
    try {
      names = zoo::imagenet_labels();
    } catch (const Error& error) {
      fmt::print(stderr, "Classes are shown without names, which --labels may give: {}\n", error.what());
    }
  }
  if (!names.empty() && static_cast<int64_t>(names.size()) != classes) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: {} names for a model of {} classes",
                                                         labels.empty() ? model : labels, names.size(), classes));
  }
  return names;
}

void run_classify(const ClassifyArguments& arguments) {
  const std::vector<std::string> images = arguments.images.find();
  const auto model = load_classifier(arguments.model);
  const auto names = names_of(arguments.model.model, model->classes(), arguments.labels);
  const auto dtype = model->parameters().front().scalar_type();
  const at::NoGradGuard no_grad;
  Failures failures(images.size());
  for_each_batch(images, arguments.model.pipeline_of(*model), arguments.model.batch, failures,
                 [&](const std::vector<size_t>& places, const at::Tensor& batch) {
                   const at::Tensor logits = model->forward(batch.to(dtype));
                   for (size_t i = 0; i < places.size(); ++i) {
                     print_classes(images[places[i]], logits[static_cast<int64_t>(i)], names, arguments.top,
                                   arguments.json);
                   }
                 });
  failures.finish();
}

}  // namespace

void add_classify(CLI::App& app) {
  auto* command = app.add_subcommand("classify", "Name what images show, by a classifier");
  auto arguments = std::make_shared<ClassifyArguments>();
  arguments->model.add_to(*command);
  arguments->images.add_to(*command);
  command->add_option("--labels", arguments->labels,
                      "The classes' names: a file with one a line or a JSON list, or a set (default: the "
                      "card's; ImageNet's, where they are found and the model has 1000 classes)");
  command->add_option("--top", arguments->top, "So many classes of each image")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "One JSON object a line instead of text");
  command->callback([arguments] { run_classify(*arguments); });
}

}  // namespace wkv::cli
