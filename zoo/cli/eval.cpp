// `wkv eval`: the published evaluations of models of images and texts, on the user's own data.
#include <ATen/Functions.h>
#include <fmt/format.h>

#include "cli/vision.h"
#include "vision/annotations.h"
#include "wkv/error.h"
#include "wkv/zoo/embeddings.h"
#include "wkv/zoo/metrics.h"
#include "wkv/zoo/zero_shot.h"

namespace wkv::cli {
namespace {

constexpr const char* kCaptionPrefix = "a photo of ";  // of captions, in the published retrieval

struct EvalArguments {
  VisionModelArguments model;
  PromptArguments prompts;
  std::string images, list, annotations;
  bool json = false;
};

double percent(double share) { return 100 * share; }

void run_zero_shot_eval(const EvalArguments& arguments) {
  if (arguments.images.empty() == arguments.list.empty())
    throw CLI::ValidationError("--images", "a folder, or --list, a list: one of them");
  const auto names = arguments.prompts.load_labels();
  const auto classes = static_cast<int64_t>(names.size());
  std::vector<zoo::LabelledImage> images;
  if (arguments.images.empty()) {
    images = zoo::read_labelled_list(arguments.list, classes);
  } else {
    const auto folder = zoo::read_labelled_folder(arguments.images, names);
    fmt::print(stderr, "{}: classes by the subfolders' {}\n", arguments.images, folder.by_name ? "names" : "order");
    images = folder.images;
  }
  const auto model = arguments.model.load_clip();
  const auto tokenizer = arguments.model.load_tokenizer(*model);
  const at::Tensor classifier = arguments.prompts.classifier(*model, *tokenizer, names);

  Failures failures(images.size());
  const auto measured = score_images(
      images, arguments.model.pipeline_of(*model), arguments.model.batch, failures,
      [&](const at::Tensor& batch) { return zoo::zero_shot_logits(zoo::embed_images(*model, batch), classifier); });
  if (!measured) failures.finish();
  const zoo::ClassificationScore score = *measured;
  if (arguments.json) {
    print(json_line({{"images", score.images},
                     {"classes", classes},
                     {"top1", score.top1},
                     {"top5", score.top5},
                     {"mean_per_class", score.mean_per_class},
                     {"failed", failures.items()}}));
  } else {
    print(fmt::format("top-1 {:.2f} %, top-5 {:.2f} %, mean per class {:.2f} % ({} images, {} classes)\n",
                      percent(score.top1), percent(score.top5), percent(score.mean_per_class), score.images, classes));
  }
  failures.finish();
}

void run_retrieval_eval(const EvalArguments& arguments) {
  const auto annotated = zoo::read_captions(arguments.annotations, arguments.images);
  const auto model = arguments.model.load_clip();
  const auto tokenizer = arguments.model.load_tokenizer(*model);
  std::vector<std::string> paths;
  for (const auto& image : annotated) paths.push_back(image.path);

  std::vector<at::Tensor> images;
  std::vector<std::string> captions;  // of the images that could be read
  std::vector<int64_t> image_of_caption;
  int64_t image = 0;
  Failures failures(paths.size());
  for_each_batch(paths, arguments.model.pipeline_of(*model), arguments.model.batch, failures,
                 [&](const std::vector<size_t>& places, const at::Tensor& batch) {
                   images.push_back(zoo::embed_images(*model, batch));
                   for (const size_t place : places) {
                     for (const std::string& caption : annotated[place].captions) {
                       captions.push_back(kCaptionPrefix + caption);
                       image_of_caption.push_back(image);
                     }
                     ++image;
                   }
                 });
  if (images.empty()) failures.finish();
  std::vector<at::Tensor> texts;
  for_each_text_batch(*model, *tokenizer, captions,
                      [&](const std::vector<std::string>&, const at::Tensor& vectors) { texts.push_back(vectors); });
  const auto score = zoo::score_retrieval(at::cat(images), at::cat(texts), at::tensor(image_of_caption, at::kLong));
  if (arguments.json) {
    const auto recall = [](const zoo::Recall& r) {
      return nlohmann::ordered_json{{"recall_at_1", r.at1}, {"recall_at_5", r.at5}, {"recall_at_10", r.at10}};
    };
    print(json_line({{"images", image},
                     {"captions", captions.size()},
                     {"text_to_image", recall(score.text_to_image)},
                     {"image_to_text", recall(score.image_to_text)},
                     {"failed", failures.items()}}));
  } else {
    const auto line = [](const char* name, const zoo::Recall& r) {
      return fmt::format("{}  R@1 {:.2f} %, R@5 {:.2f} %, R@10 {:.2f} %\n", name, percent(r.at1), percent(r.at5),
                         percent(r.at10));
    };
    print(line("text to image", score.text_to_image) + line("image to text", score.image_to_text) +
          fmt::format("({} images, {} captions)\n", image, captions.size()));
  }
  failures.finish();
}

}  // namespace

void add_eval(CLI::App& app) {
  auto* command = app.add_subcommand("eval", "Zero-shot accuracy and retrieval of a model of images and texts");
  auto arguments = std::make_shared<EvalArguments>();
  arguments->model.add_to(*command);
  arguments->model.add_tokenizer_to(*command);
  command->add_flag("--json", arguments->json, "One JSON object instead of text");
  command->require_subcommand(1);

  auto* zero_shot = command->add_subcommand("zero-shot", "Accuracy among classes in words")->fallthrough();
  arguments->prompts.add_to(*zero_shot);
  zero_shot->add_option("--images", arguments->images, "A folder with one subfolder a class");
  zero_shot->add_option("--list", arguments->list,
                        "Instead: a file with a line an image: path, tab, index of the class");
  zero_shot->callback([arguments] { run_zero_shot_eval(*arguments); });

  auto* retrieval =
      command->add_subcommand("retrieval", "R@1, R@5 and R@10 between images and captions")->fallthrough();
  retrieval->add_option("--annotations", arguments->annotations, "A JSON list of {\"image\", \"caption\": [...]}")
      ->required();
  retrieval->add_option("--images", arguments->images, "The folder that the images' paths begin in")->required();
  retrieval->callback([arguments] { run_retrieval_eval(*arguments); });
}

}  // namespace wkv::cli
