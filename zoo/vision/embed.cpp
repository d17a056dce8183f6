// embed_images, embed_texts: vectors from models.
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "wkv/error.h"
#include "wkv/models/vision_model.h"
#include "wkv/zoo/catalogue.h"
#include "wkv/zoo/embeddings.h"

namespace wkv::zoo {
namespace {

[[noreturn]] void refuse(const models::Model& model) {
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: not a vision model", model.family()));
}

}  // namespace

at::Tensor embed_images(models::Model& model, const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  const auto inputs = [&] { return images.to(model.parameters().front().scalar_type()); };
  if (auto* clip = dynamic_cast<models::RWKVCLIPImpl*>(&model)) return clip->encode_image(inputs()).to(at::kFloat);
  auto* vision = dynamic_cast<models::VisionModel*>(&model);
  if (!vision) refuse(model);
  const models::FeatureMap last = vision->features(inputs()).back();
  return (last.class_token.defined() ? last.class_token : last.patches.mean({2, 3})).to(at::kFloat);
}

int64_t embedding_width(const models::Model& model) {
  if (const auto* clip = dynamic_cast<const models::RWKVCLIPImpl*>(&model)) return clip->options().width;
  if (const auto* vision = dynamic_cast<const models::VisionModel*>(&model)) return vision->width();
  refuse(model);
}

std::string preprocessing_of(const models::Model& model) {
  if (const auto* clip = dynamic_cast<const models::RWKVCLIPImpl*>(&model)) return clip->preprocessing();
  if (const auto* vision = dynamic_cast<const models::VisionModel*>(&model)) return vision->preprocessing();
  refuse(model);
}

std::string preprocessing_of(const std::string& path_or_name, const models::Model& model) {
  const auto card = card_of(path_or_name);
  return card && !card->preprocessing.empty() ? card->preprocessing : preprocessing_of(model);
}

at::Tensor embed_texts(models::RWKVCLIPImpl& model, const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  const at::NoGradGuard no_grad;
  const int64_t context = model.options().context;
  if (texts.empty()) return at::empty({0, model.options().width}, at::kFloat);
  std::vector<at::Tensor> rows;
  for (const std::string& text : texts) rows.push_back(at::tensor(tokenizer.encode_row(text, context), at::kLong));
  return model.encode_text(at::stack(rows)).to(at::kFloat);
}

}  // namespace wkv::zoo
