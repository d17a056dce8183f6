// Models that see, images, and what is done with their features, for Python.
#include <torch/library.h>

#include <tuple>
#include <vector>

#include "python/handles.h"
#include "wkv/models/rwkv_clip.h"
#include "wkv/models/vision_model.h"
#include "wkv/zoo/embeddings.h"
#include "wkv/zoo/image.h"
#include "wkv/zoo/labels.h"
#include "wkv/zoo/metrics.h"
#include "wkv/zoo/retrieval.h"
#include "wkv/zoo/zero_shot.h"

namespace wkv::python {
namespace {

models::VisionModel& vision_model(const ModelHandle& model) { return model->as<models::VisionModel>("a vision model"); }
models::RWKVCLIPImpl& clip_model(const ModelHandle& model) { return model->as<models::RWKVCLIPImpl>("an RWKV-CLIP"); }

at::Tensor image_logits(ModelHandle self, at::Tensor images) { return vision_model(self).forward(images); }

std::vector<std::tuple<at::Tensor, std::optional<at::Tensor>>> image_features(ModelHandle self, at::Tensor images) {
  std::vector<std::tuple<at::Tensor, std::optional<at::Tensor>>> maps;
  for (auto& [patches, class_token] : vision_model(self).features(images))
    maps.emplace_back(patches, class_token.defined() ? std::optional(class_token) : std::nullopt);
  return maps;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> both_towers(ModelHandle self, at::Tensor images, at::Tensor tokens) {
  auto [image_features, text_features, logit_scale] = clip_model(self).forward(images, tokens);
  return {image_features, text_features, logit_scale};
}
at::Tensor encode_image(ModelHandle self, at::Tensor images, bool normalize) {
  return clip_model(self).encode_image(images, normalize);
}
at::Tensor encode_text(ModelHandle self, at::Tensor tokens, bool normalize) {
  return clip_model(self).encode_text(tokens, normalize);
}

std::string preprocessing(ModelHandle self) { return zoo::preprocessing_of(self->path_or_name, *self->value); }
at::Tensor embed_images(ModelHandle self, at::Tensor images) { return zoo::embed_images(*self->value, images); }
at::Tensor embed_texts(ModelHandle self, TokenizerHandle tokenizer, std::vector<std::string> texts) {
  return zoo::embed_texts(clip_model(self), *tokenizer->value, texts);
}
at::Tensor zero_shot_classifier(ModelHandle self, TokenizerHandle tokenizer, std::vector<zoo::ClassNames> labels,
                                std::vector<std::string> templates) {
  return zoo::zero_shot_classifier(clip_model(self), *tokenizer->value, labels, templates);
}

// Bytes that are no image are a wrong value, whether a file holds them or not.
template <typename F>
at::Tensor image_of(F read) {
  try {
    return read();
  } catch (const Error& error) {
    throw Error(ErrorCode::invalid_argument, error.what());
  }
}

at::Tensor preprocess(std::string bytes, std::string pipeline) {
  return image_of([&] { return zoo::preprocess(bytes, "image", pipeline); });
}
at::Tensor preprocess_file(std::string path, std::string pipeline) {
  return image_of([&] { return zoo::preprocess_file(path, pipeline); });
}

// Each file's image, or what is wrong with it.
std::vector<std::tuple<std::optional<at::Tensor>, std::string>> preprocess_files(std::vector<std::string> paths,
                                                                                 std::string pipeline) {
  std::vector<std::tuple<std::optional<at::Tensor>, std::string>> files;
  for (auto& [image, error] : zoo::preprocess_files(paths, pipeline))
    files.emplace_back(image.defined() ? std::optional(image) : std::nullopt, error);
  return files;
}

void save_embeddings(std::string path, at::Tensor vectors, std::vector<std::string> names) {
  zoo::save_embeddings(path, {vectors, names});
}
std::tuple<at::Tensor, std::vector<std::string>> load_embeddings(std::string path) {
  auto [vectors, names] = zoo::load_embeddings(path);
  return {vectors, names};
}

std::tuple<at::Tensor, at::Tensor> search(at::Tensor index, at::Tensor queries, int64_t top) {
  auto [scores, indices] = zoo::search(index, queries, top);
  return {scores, indices};
}

// images, top-1, top-5, mean per class
std::tuple<int64_t, double, double, double> score_classification(at::Tensor logits, at::Tensor targets) {
  const auto score = zoo::score_classification(logits, targets);
  return {score.images, score.top1, score.top5, score.mean_per_class};
}

// R@1, R@5, R@10 from text to image, then from image to text
std::vector<double> score_retrieval(at::Tensor images, at::Tensor texts, at::Tensor image_of_text) {
  const auto [text_to_image, image_to_text] = zoo::score_retrieval(images, texts, image_of_text);
  return {text_to_image.at1, text_to_image.at5, text_to_image.at10,
          image_to_text.at1, image_to_text.at5, image_to_text.at10};
}

struct Vision : torch::CustomClassHolder {};  // a name for the functions

}  // namespace

void define_vision(torch::Library& library, torch::class_<Model>& model) {
  using torch::arg;
  model.def("image_logits", bound(&image_logits), "", {arg("images")})
      .def("image_features", bound(&image_features), "", {arg("images")})
      .def("both_towers", bound(&both_towers), "", {arg("images"), arg("tokens")})
      .def("encode_image", bound(&encode_image), "", {arg("images"), arg("normalize")})
      .def("encode_text", bound(&encode_text), "", {arg("tokens"), arg("normalize")})
      .def("preprocessing", bound(&preprocessing))
      .def("embed_images", bound(&embed_images), "", {arg("images")})
      .def("embed_texts", bound(&embed_texts))
      .def("zero_shot_classifier", bound(&zero_shot_classifier));
  library.class_<Vision>("Vision")
      .def_static("preprocess", bound(&preprocess))
      .def_static("preprocess_file", bound(&preprocess_file))
      .def_static("preprocess_files", bound(&preprocess_files))
      .def_static("load_labels", bound(&zoo::load_labels))
      .def_static("load_templates", bound(&zoo::load_templates))
      .def_static("templates_of_labels", bound(&zoo::templates_of_labels))
      .def_static("imagenet_labels", bound(&zoo::imagenet_labels))
      .def_static("zero_shot_logits", bound(&zoo::zero_shot_logits))
      .def_static("save_embeddings", bound(&save_embeddings))
      .def_static("load_embeddings", bound(&load_embeddings))
      .def_static("search", bound(&search))
      .def_static("score_classification", bound(&score_classification))
      .def_static("score_retrieval", bound(&score_retrieval));
}

}  // namespace wkv::python
