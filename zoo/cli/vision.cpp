#include "cli/vision.h"

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "cli/progress.h"
#include "vision/annotations.h"
#include "wkv/error.h"
#include "wkv/models/vision_model.h"
#include "wkv/zoo/embeddings.h"
#include "wkv/zoo/image.h"
#include "wkv/zoo/zero_shot.h"

namespace wkv::cli {
namespace {

namespace fs = std::filesystem;

}  // namespace

void VisionModelArguments::add_to(CLI::App& command) {
  ModelArguments::add_to(command, kModelHelp)->required();
  command.add_option("--pipeline", pipeline,
                     "How images are resized: mm224, vl384, clip224, or another size (default: the model's own)");
  command.add_option("--batch", batch, "Images at a time")->check(CLI::Range(1, 65536))->capture_default_str();
}

void VisionModelArguments::add_tokenizer_to(CLI::App& command) {
  command.add_option(
      "--tokenizer", tokenizer,
      "clip, bytes, or the path of clip's vocabulary (default: the model's card's, or by its vocabulary's size)");
}

std::shared_ptr<models::Model> VisionModelArguments::load() const {
  if (!pipeline.empty()) zoo::require_pipeline(pipeline);
  auto loaded = zoo::load(model, load_options());
  if (!std::dynamic_pointer_cast<models::VisionModel>(loaded) &&
      !std::dynamic_pointer_cast<models::RWKVCLIPImpl>(loaded)) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: not a vision model: it is {}", model, loaded->family()));
  }
  return loaded;
}

std::shared_ptr<models::RWKVCLIPImpl> VisionModelArguments::load_clip() const { return require_clip(load(), model); }

std::shared_ptr<const zoo::Tokenizer> VisionModelArguments::load_tokenizer(const models::RWKVCLIPImpl& clip) const {
  return ModelArguments::load_tokenizer(tokenizer, clip.options().vocab);
}

std::string VisionModelArguments::pipeline_of(const models::Model& loaded) const {
  return pipeline.empty() ? zoo::preprocessing_of(model, loaded) : pipeline;
}

std::shared_ptr<models::RWKVCLIPImpl> require_clip(const std::shared_ptr<models::Model>& model,
                                                   const std::string& path) {
  auto clip = std::dynamic_pointer_cast<models::RWKVCLIPImpl>(model);
  if (!clip) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: not a model of images and texts: it is {}", path, model->family()));
  }
  return clip;
}

void ImageArguments::add_to(CLI::App& command) {
  command.add_option("IMAGE", paths, "JPEG and PNG files, and folders of them");
  command.add_option("--list", list, "A file with more of them, one path a line; -: standard input");
}

std::vector<std::string> ImageArguments::find() const {
  if (empty()) throw CLI::RequiredError("IMAGE");
  std::vector<std::string> all = paths, found;
  if (!list.empty()) std::ranges::move(lines_of(list), std::back_inserter(all));
  for (std::string& path : all) {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
      std::ranges::move(zoo::images_in(path), std::back_inserter(found));
    } else {
      found.push_back(std::move(path));
    }
  }
  return found;
}

void PromptArguments::add_to(CLI::App& command) {
  command
      .add_option("--labels", labels,
                  "The classes: a,b,c, a file with one a line or a JSON list, or a published set: imagenet, ...")
      ->required();
  command.add_option(
      "--templates", templates,
      "The prompts, with {} for the class: a text, a file with one a line or a JSON list, or a published "
      "set (default: the set's own, else \"a photo of a {}.\")");
}

at::Tensor PromptArguments::classifier(models::RWKVCLIPImpl& model, const zoo::Tokenizer& tokenizer,
                                       const std::vector<zoo::ClassNames>& names) const {
  const auto texts = templates.empty() ? zoo::templates_of_labels(labels) : zoo::load_templates(templates);
  size_t prompts = 0;
  for (const zoo::ClassNames& synonyms : names) prompts += synonyms.size() * texts.size();
  ProgressLine progress(static_cast<int64_t>(prompts), "prompts");
  return zoo::zero_shot_classifier(model, tokenizer, names, texts, [&](int64_t done) { progress.advance_to(done); });
}

void Failures::add(const std::string& item, const std::string& message) {
  if (items_ > 1) fmt::print(stderr, "wkv: {}\n", message);  // of a single item, finish() says it
  failed_.push_back(item);
  messages_.push_back(message);
}

void Failures::finish() const {
  constexpr size_t kMostNames = 10;
  if (failed_.empty()) return;
  if (items_ == 1) throw Error(ErrorCode::corrupt_file, messages_.front());
  const std::vector<std::string> names(failed_.begin(), failed_.begin() + std::min(failed_.size(), kMostNames));
  throw Error(ErrorCode::corrupt_file, fmt::format("{} of {} failed: {}{}", failed_.size(), items_,
                                                   fmt::join(names, ", "), failed_.size() > kMostNames ? ", ..." : ""));
}

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  const std::string text = read_text(path);
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    std::string line = text.substr(start, end - start);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) lines.push_back(std::move(line));
    start = end + 1;
  }
  return lines;
}

void for_each_batch(const std::vector<std::string>& paths, const std::string& pipeline, int64_t batch,
                    Failures& failures,
                    const std::function<void(const std::vector<size_t>& places, const at::Tensor& images)>& use) {
  ProgressLine progress(static_cast<int64_t>(paths.size()), "images");
  for (size_t first = 0; first < paths.size(); first += static_cast<size_t>(batch)) {
    const size_t end = std::min(first + static_cast<size_t>(batch), paths.size());
    const auto files = zoo::preprocess_files({paths.begin() + first, paths.begin() + end}, pipeline);
    std::vector<size_t> places;
    std::vector<at::Tensor> images;
    for (size_t i = 0; i < files.size(); ++i) {
      if (files[i].error.empty()) {
        places.push_back(first + i);
        images.push_back(files[i].image);
      } else {
        progress.clear();
        failures.add(paths[first + i], files[i].error);
      }
    }
    if (!images.empty()) use(places, at::stack(images));
    progress.advance_to(static_cast<int64_t>(end));
  }
}

std::optional<zoo::ClassificationScore> score_images(const std::vector<zoo::LabelledImage>& images,
                                                     const std::string& pipeline, int64_t batch, Failures& failures,
                                                     const std::function<at::Tensor(const at::Tensor&)>& logits_of) {
  std::vector<std::string> paths;
  for (const auto& image : images) paths.push_back(image.path);
  std::vector<at::Tensor> logits;
  std::vector<int64_t> targets;
  for_each_batch(paths, pipeline, batch, failures, [&](const std::vector<size_t>& places, const at::Tensor& some) {
    logits.push_back(logits_of(some));
    for (const size_t place : places) targets.push_back(images[place].label);
  });
  if (logits.empty()) return std::nullopt;
  return zoo::score_classification(at::cat(logits), at::tensor(targets, at::kLong));
}

void for_each_text_batch(
    models::RWKVCLIPImpl& model, const zoo::Tokenizer& tokenizer, const std::vector<std::string>& texts,
    const std::function<void(const std::vector<std::string>& some, const at::Tensor& vectors)>& use) {
  constexpr size_t kTextsAtOnce = 64;
  ProgressLine progress(static_cast<int64_t>(texts.size()), "texts");
  for (size_t first = 0; first < texts.size(); first += kTextsAtOnce) {
    const size_t end = std::min(first + kTextsAtOnce, texts.size());
    const std::vector<std::string> some(texts.begin() + first, texts.begin() + end);
    use(some, zoo::embed_texts(model, tokenizer, some));
    progress.advance_to(static_cast<int64_t>(end));
  }
}

void print_classes(const std::string& file, const at::Tensor& logits, const std::vector<zoo::ClassNames>& names,
                   int64_t top, bool json) {
  const at::Tensor probabilities = logits.to(at::kFloat).softmax(-1);
  const auto [values, indices] = probabilities.topk(std::min(top, probabilities.size(0)));
  nlohmann::ordered_json classes = nlohmann::ordered_json::array();
  std::string text = file + "\n";
  for (int64_t i = 0; i < values.size(0); ++i) {
    const auto index = indices[i].item<int64_t>();
    const double probability = values[i].item<double>();
    const std::string name = names.empty() ? "" : names[static_cast<size_t>(index)].front();
    text += fmt::format("  {:.4f}  {:>4}  {}\n", probability, index, name);
    classes.push_back({{"index", index}, {"name", name}, {"probability", probability}});
    if (names.empty()) classes.back().erase("name");
  }
  print(json ? json_line({{"file", file}, {"classes", std::move(classes)}}) : text);
}

std::string json_line(const nlohmann::ordered_json& document) {
  return document.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace wkv::cli
