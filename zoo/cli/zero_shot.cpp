// `wkv zero-shot`: what an image shows, among classes that are given as words.
#include "wkv/zoo/zero_shot.h"

#include <fmt/format.h>

#include "cli/vision.h"
#include "wkv/zoo/embeddings.h"

namespace wkv::cli {
namespace {

struct ZeroShotArguments {
  VisionModelArguments model;
  ImageArguments images;
  PromptArguments prompts;
  int64_t top = 5;
  bool json = false;
};

void run_zero_shot(const ZeroShotArguments& arguments) {
  const std::vector<std::string> images = arguments.images.find();
  const auto names = arguments.prompts.load_labels();
  const auto model = arguments.model.load_clip();
  const auto tokenizer = arguments.model.load_tokenizer(*model);
  const at::Tensor classifier = arguments.prompts.classifier(*model, *tokenizer, names);
  Failures failures(images.size());
  for_each_batch(images, arguments.model.pipeline_of(*model), arguments.model.batch, failures,
                 [&](const std::vector<size_t>& places, const at::Tensor& batch) {
                   const at::Tensor logits = zoo::zero_shot_logits(zoo::embed_images(*model, batch), classifier);
                   for (size_t i = 0; i < places.size(); ++i) {
                     print_classes(images[places[i]], logits[static_cast<int64_t>(i)], names, arguments.top,
                                   arguments.json);
                   }
                 });
  failures.finish();
}

}  // namespace

void add_zero_shot(CLI::App& app) {
  auto* command = app.add_subcommand("zero-shot", "Name what images show, among classes in words, by RWKV-CLIP");
  auto arguments = std::make_shared<ZeroShotArguments>();
  arguments->model.add_to(*command);
  arguments->model.add_tokenizer_to(*command);
  arguments->images.add_to(*command);
  arguments->prompts.add_to(*command);
  command->add_option("--top", arguments->top, "So many classes of each image")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "One JSON object a line instead of text");
  command->callback([arguments] { run_zero_shot(*arguments); });
}

}  // namespace wkv::cli
