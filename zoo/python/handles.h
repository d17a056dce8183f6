// What Python holds of the models and the zoo: torch.classes.wkv.{Model, Tokenizer, ...}, handles whose methods the
// package `wkv` wraps. Through torch::class_, so that nothing here depends on a version of Python. PyTorch calls these
// methods without Python's lock.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/custom_class.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wkv/error.h"
#include "wkv/models/model.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::python {

// PyTorch makes a ValueError of c10::ValueError, and a RuntimeError of any other exception.
[[noreturn]] void rethrow(const Error& error);

// Methods and functions as torch::class_ takes them, wkv::Error translated.
template <typename C, typename R, typename... Args>
auto bound(R (C::*method)(Args...)) {
  return [method](const c10::intrusive_ptr<C>& self, Args... args) -> R {
    try {
      return (*self.*method)(std::move(args)...);
    } catch (const Error& error) {
      rethrow(error);
    }
  };
}

template <typename R, typename... Args>
auto bound(R (*function)(Args...)) {
  return [function](Args... args) -> R {
    try {
      return function(std::move(args)...);
    } catch (const Error& error) {
      rethrow(error);
    }
  };
}

struct Model : torch::CustomClassHolder {
  Model(std::shared_ptr<models::Model> model, std::string name)
      : value(std::move(model)), path_or_name(std::move(name)) {}

  std::string kind();  // which of the package's classes wraps it: "language", "vision", "clip"
  std::string family() { return value->family(); }
  std::string config_json() { return value->config_json(); }
  std::string tokenizer();  // its name; empty: none is known
  c10::Dict<std::string, at::Tensor> parameters();
  c10::Dict<std::string, at::Tensor> buffers();
  bool is_training() { return value->is_training(); }
  void train(bool on);
  void to(std::optional<at::Device> device, std::optional<at::ScalarType> dtype);
  void export_torchscript(std::string path, int64_t batch, int64_t block, int64_t image);

  static c10::intrusive_ptr<Model> load(std::string path_or_name, std::string config, std::string family,
                                        std::optional<at::ScalarType> dtype, std::string quantize);

  // The model as one of its kind (models::LanguageModel, ...); throws wkv::Error for one of another.
  template <typename Kind>
  Kind& as(const char* description) {
    auto* model = dynamic_cast<Kind*>(value.get());
    if (!model) throw Error(ErrorCode::invalid_argument, family() + ": not " + description);
    return *model;
  }

  std::shared_ptr<models::Model> value;
  std::string path_or_name;  // as zoo::load took it
};

using ModelHandle = c10::intrusive_ptr<Model>;

struct Tokenizer : torch::CustomClassHolder {
  explicit Tokenizer(std::shared_ptr<const zoo::Tokenizer> tokenizer) : value(std::move(tokenizer)) {}

  std::string name() { return value->name(); }
  int64_t vocab_size() { return value->vocab_size(); }
  std::vector<int64_t> encode(std::string text) { return value->encode(text); }
  std::vector<int64_t> encode_row(std::string text, int64_t context_length) {
    return value->encode_row(text, context_length);
  }
  // A str of Python must be UTF-8, which these bytes need not be: uint8 [length].
  at::Tensor decode(std::vector<int64_t> tokens) {
    const std::string bytes = value->decode(tokens);
    const at::Tensor result = at::empty({static_cast<int64_t>(bytes.size())}, at::kByte);
    std::ranges::copy(bytes, result.mutable_data_ptr<std::uint8_t>());
    return result;
  }

  static c10::intrusive_ptr<Tokenizer> load(std::string name_or_path) {
    return c10::make_intrusive<Tokenizer>(zoo::load_tokenizer(name_or_path));
  }

  std::shared_ptr<const zoo::Tokenizer> value;
};

using TokenizerHandle = c10::intrusive_ptr<Tokenizer>;

// Each adds its subject to the library, and to the class of models the methods of those of its kind.
void define_language(torch::Library& library, torch::class_<Model>& model);
void define_vision(torch::Library& library, torch::class_<Model>& model);
void define_catalogue(torch::Library& library);
void define_download(torch::Library& library);

}  // namespace wkv::python
