#include "wkv/zoo/zero_shot.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include "vision/unit_rows.h"
#include "wkv/error.h"
#include "wkv/zoo/embeddings.h"

namespace wkv::zoo {
namespace {

constexpr size_t kPromptsAtOnce = 64;
constexpr double kLogitScale = 100;  // of the published evaluation, whatever scale the model learned

}  // namespace

at::Tensor class_vector(const at::Tensor& prompt_features) {
  return unit_rows(unit_rows(prompt_features).mean(0, /*keepdim=*/true)).squeeze(0);
}

at::Tensor zero_shot_classifier(models::RWKVCLIPImpl& model, const Tokenizer& tokenizer,
                                const std::vector<ClassNames>& labels, const std::vector<std::string>& templates,
                                const std::function<void(int64_t prompts)>& progress) {
  if (labels.empty()) throw Error(ErrorCode::invalid_argument, "labels: expected at least one class");
  if (templates.empty()) throw Error(ErrorCode::invalid_argument, "templates: expected at least one");
  std::vector<std::string> prompts;
  for (const ClassNames& names : labels) {
    if (names.empty()) throw Error(ErrorCode::invalid_argument, "labels: a class without a name");
    for (const std::string& name : names) {
      for (const std::string& text : templates) prompts.push_back(fill_template(text, name));
    }
  }
  std::vector<at::Tensor> batches;
  for (size_t first = 0; first < prompts.size(); first += kPromptsAtOnce) {
    const size_t end = std::min(first + kPromptsAtOnce, prompts.size());
    batches.push_back(embed_texts(model, tokenizer, {prompts.begin() + first, prompts.begin() + end}));
    if (progress) progress(static_cast<int64_t>(end));
  }
  const at::Tensor features = at::cat(batches);
  std::vector<at::Tensor> classes;
  int64_t first = 0;
  for (const ClassNames& names : labels) {
    const auto count = static_cast<int64_t>(names.size() * templates.size());
    classes.push_back(class_vector(features.slice(0, first, first + count)));
    first += count;
  }
  return at::stack(classes, 1);
}

at::Tensor zero_shot_logits(const at::Tensor& image_features, const at::Tensor& classifier) {
  if (image_features.dim() != 2 || classifier.dim() != 2 || image_features.size(1) != classifier.size(0)) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("zero_shot_logits: expected features [B, C] and a classifier [C, classes], got {} and {} "
                            "dimensions, C = {} and {}",
                            image_features.dim(), classifier.dim(), image_features.size(-1), classifier.size(0)));
  }
  return kLogitScale * at::mm(unit_rows(image_features), classifier);
}

}  // namespace wkv::zoo
