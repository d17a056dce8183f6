// What Python sees of the models and the zoo: torch.classes.wkv.{Model, State, Tokenizer, Generator}, handles whose
// methods the package `wkv` wraps. Through torch::class_, so that nothing here depends on a version of Python. PyTorch
// calls these methods without Python's lock.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/custom_class.h>
#include <torch/library.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "wkv/error.h"
#include "wkv/models/language_model.h"
#include "wkv/zoo/generate.h"
#include "wkv/zoo/generate_batch.h"
#include "wkv/zoo/load.h"
#include "wkv/zoo/state_file.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::python {
namespace {

// PyTorch makes a ValueError of c10::ValueError, and a RuntimeError of any other exception.
[[noreturn]] void rethrow(const Error& error) {
  switch (error.code()) {
    case ErrorCode::invalid_argument:
    case ErrorCode::shape_mismatch:
    case ErrorCode::missing_tensor:
      C10_THROW_ERROR(ValueError, error.what());
    default:
      throw error;
  }
}

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

struct State : torch::CustomClassHolder {
  explicit State(models::State state) : value(std::move(state)) {}

  int64_t batch() { return value.batch(); }
  c10::Dict<std::string, at::Tensor> tensors() {
    c10::Dict<std::string, at::Tensor> tensors;
    for (const auto& [name, tensor] : value.entries) tensors.insert(name, tensor);
    return tensors;
  }
  c10::intrusive_ptr<State> select(std::vector<int64_t> rows) { return wrap(value.select(rows)); }
  c10::intrusive_ptr<State> clone() { return wrap(value.clone()); }
  c10::intrusive_ptr<State> detach() { return wrap(value.detach()); }
  c10::intrusive_ptr<State> to(at::Device device) { return wrap(value.to(device)); }
  void put(std::vector<int64_t> rows, c10::intrusive_ptr<State> state) { value.put(rows, state->value); }
  void save(std::string path) { zoo::save_state(path, value); }

  static c10::intrusive_ptr<State> wrap(models::State state) { return c10::make_intrusive<State>(std::move(state)); }
  static c10::intrusive_ptr<State> from_tensors(c10::Dict<std::string, at::Tensor> tensors) {
    models::State state;
    for (const auto& entry : tensors) state.entries.push_back({entry.key(), entry.value()});
    return wrap(std::move(state));
  }
  static c10::intrusive_ptr<State> load(std::string path) { return wrap(zoo::load_state(path)); }
  static c10::intrusive_ptr<State> cat(std::vector<c10::intrusive_ptr<State>> states) {
    std::vector<models::State> values;
    for (const auto& state : states) values.push_back(state->value);
    return wrap(models::State::cat(values));
  }

  models::State value;
};

using OptionalState = std::optional<c10::intrusive_ptr<State>>;

models::State value_or_empty(const OptionalState& state) { return state ? (*state)->value : models::State(); }

struct Model : torch::CustomClassHolder {
  explicit Model(std::shared_ptr<models::Model> model) : value(std::move(model)) {}

  std::string family() { return value->family(); }
  std::string config_json() { return value->config_json(); }
  c10::Dict<std::string, at::Tensor> parameters() { return to_dict(value->named_parameters()); }
  c10::Dict<std::string, at::Tensor> buffers() { return to_dict(value->named_buffers()); }
  bool is_training() { return value->is_training(); }
  void train(bool on) {
    if (on && value->quantized()) {
      throw Error(ErrorCode::invalid_argument,
                  family() + ": is quantised, for inference only: load it in float32 or bfloat16 to train it");
    }
    value->train(on);
  }
  void to(std::optional<at::Device> device, std::optional<at::ScalarType> dtype) {
    if (dtype && !c10::isFloatingType(*dtype)) {
      throw Error(ErrorCode::invalid_argument,
                  std::string("dtype: expected a floating-point one, got ") + c10::toString(*dtype));
    }
    if (dtype == at::kDouble && value->quantized()) {
      throw Error(ErrorCode::invalid_argument, family() + ": is quantised, and computes in no float64");
    }
    const at::NoGradGuard no_grad;
    const auto move = [&](at::Tensor& tensor) {
      const auto target = tensor.is_floating_point() && dtype ? *dtype : tensor.scalar_type();
      tensor.set_data(tensor.to(device.value_or(tensor.device()), target));
    };
    for (auto& parameter : value->parameters()) move(parameter);
    for (auto& buffer : value->buffers()) move(buffer);
  }

  using Mask = std::optional<at::Tensor>;

  std::tuple<at::Tensor, c10::intrusive_ptr<State>> forward(at::Tensor tokens, OptionalState state, Mask attention_mask,
                                                            Mask cu_seqlens) {
    auto [logits, next] = language_model().forward(tokens, value_or_empty(state), layout(attention_mask, cu_seqlens));
    return {std::move(logits), State::wrap(std::move(next))};
  }
  at::Tensor loss(at::Tensor tokens, at::Tensor targets, std::optional<double> logit_penalty, Mask attention_mask,
                  Mask cu_seqlens) {
    return language_model().loss(tokens, targets, logit_penalty, layout(attention_mask, cu_seqlens));
  }
  std::tuple<at::Tensor, c10::intrusive_ptr<State>> read(at::Tensor tokens, OptionalState state, Mask attention_mask,
                                                         int64_t block) {
    const at::NoGradGuard no_grad;
    auto [hidden, next] =
        language_model().read(tokens, value_or_empty(state), attention_mask.value_or(at::Tensor()), block);
    return {language_model().logits(hidden), State::wrap(std::move(next))};
  }
  at::Tensor decode(at::Tensor tokens, c10::intrusive_ptr<State> pool, at::Tensor slots) {
    const at::NoGradGuard no_grad;
    return language_model().logits(language_model().decode(tokens, pool->value, slots));
  }
  c10::intrusive_ptr<State> initial_state(int64_t batch) { return State::wrap(language_model().initial_state(batch)); }

  static c10::intrusive_ptr<Model> load(std::string path, std::string config, std::string family,
                                        std::optional<at::ScalarType> dtype, std::string quantize) {
    return c10::make_intrusive<Model>(
        zoo::load(path, {.config = config, .family = family, .dtype = dtype, .quantize = quantize}));
  }

  models::LanguageModel& language_model() {
    auto* model = dynamic_cast<models::LanguageModel*>(value.get());
    if (!model) throw Error(ErrorCode::invalid_argument, family() + ": not a language model");
    return *model;
  }

  std::shared_ptr<models::Model> value;

 private:
  static models::SequenceLayout layout(const Mask& attention_mask, const Mask& cu_seqlens) {
    return {.attention_mask = attention_mask.value_or(at::Tensor()), .cu_seqlens = cu_seqlens.value_or(at::Tensor())};
  }
  static c10::Dict<std::string, at::Tensor> to_dict(const torch::OrderedDict<std::string, at::Tensor>& tensors) {
    c10::Dict<std::string, at::Tensor> dict;
    for (const auto& item : tensors) dict.insert(item.key(), item.value());
    return dict;
  }
};

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

struct Generator : torch::CustomClassHolder {
  Generator(c10::intrusive_ptr<Model> model, c10::intrusive_ptr<Tokenizer> tokenizer, const std::string& prompt,
            const GenerateOptions& options, const OptionalState& state)
      : model_(std::move(model)),
        tokenizer_(std::move(tokenizer)),
        value_(model_->language_model(), *tokenizer_->value, prompt, options, {value_or_empty(state), {}}) {}

  std::optional<std::string> next() { return value_.next(); }

  static c10::intrusive_ptr<Generator> start(c10::intrusive_ptr<Model> model, c10::intrusive_ptr<Tokenizer> tokenizer,
                                             std::string prompt, int64_t max_tokens, double temperature, double top_p,
                                             int64_t top_k, std::optional<int64_t> seed, std::vector<std::string> stop,
                                             OptionalState state) {
    const GenerateOptions options = generate_options(max_tokens, temperature, top_p, top_k, seed, std::move(stop));
    return c10::make_intrusive<Generator>(std::move(model), std::move(tokenizer), prompt, options, state);
  }
  static std::vector<std::string> batch(c10::intrusive_ptr<Model> model, c10::intrusive_ptr<Tokenizer> tokenizer,
                                        std::vector<std::string> prompts, int64_t width, int64_t max_tokens,
                                        double temperature, double top_p, int64_t top_k, std::optional<int64_t> seed,
                                        std::vector<std::string> stop) {
    const GenerateOptions options = generate_options(max_tokens, temperature, top_p, top_k, seed, std::move(stop));
    std::vector<std::string> texts;
    for (auto& result : generate_batch(model->language_model(), *tokenizer->value, prompts, options, width))
      texts.push_back(std::move(result.text));
    return texts;
  }

 private:
  static GenerateOptions generate_options(int64_t max_tokens, double temperature, double top_p, int64_t top_k,
                                          std::optional<int64_t> seed, std::vector<std::string> stop) {
    GenerateOptions options;
    options.max_tokens = max_tokens;
    options.sampler = {.temperature = temperature, .top_p = top_p, .top_k = top_k};
    if (seed) options.seed = static_cast<std::uint64_t>(*seed);
    options.stop = std::move(stop);
    return options;
  }

  c10::intrusive_ptr<Model> model_;
  c10::intrusive_ptr<Tokenizer> tokenizer_;
  wkv::Generator value_;
};

TORCH_LIBRARY_FRAGMENT(wkv, m) {
  using torch::arg;  // named where PyTorch may have to complain about a type
  m.class_<State>("State")
      .def("batch", bound(&State::batch))
      .def("tensors", bound(&State::tensors))
      .def("select", bound(&State::select))
      .def("clone", bound(&State::clone))
      .def("detach", bound(&State::detach))
      .def("to", bound(&State::to))
      .def("put", bound(&State::put))
      .def("save", bound(&State::save))
      .def_static("load", bound(&State::load))
      .def_static("cat", bound(&State::cat))
      .def_pickle([](const c10::intrusive_ptr<State>& self) { return self->tensors(); },
                  [](c10::Dict<std::string, at::Tensor> tensors) { return State::from_tensors(tensors); });
  m.class_<Model>("Model")
      .def("family", bound(&Model::family))
      .def("config_json", bound(&Model::config_json))
      .def("parameters", bound(&Model::parameters))
      .def("buffers", bound(&Model::buffers))
      .def("is_training", bound(&Model::is_training))
      .def("train", bound(&Model::train))
      .def("to", bound(&Model::to), "", {arg("device"), arg("dtype")})
      .def("forward", bound(&Model::forward), "",
           {arg("tokens"), arg("state"), arg("attention_mask"), arg("cu_seqlens")})
      .def("loss", bound(&Model::loss), "",
           {arg("tokens"), arg("targets"), arg("logit_penalty"), arg("attention_mask"), arg("cu_seqlens")})
      .def("read", bound(&Model::read), "", {arg("tokens"), arg("state"), arg("attention_mask"), arg("block")})
      .def("decode", bound(&Model::decode), "", {arg("tokens"), arg("pool"), arg("slots")})
      .def("initial_state", bound(&Model::initial_state), "", {arg("batch")})
      .def_static("load", bound(&Model::load));
  m.class_<Tokenizer>("Tokenizer")
      .def("name", bound(&Tokenizer::name))
      .def("vocab_size", bound(&Tokenizer::vocab_size))
      .def("encode", bound(&Tokenizer::encode))
      .def("encode_row", bound(&Tokenizer::encode_row))
      .def("decode", bound(&Tokenizer::decode))
      .def_static("load", bound(&Tokenizer::load));
  m.class_<Generator>("Generator")
      .def("next", bound(&Generator::next))
      .def_static("start", bound(&Generator::start))
      .def_static("batch", bound(&Generator::batch));
}

}  // namespace
}  // namespace wkv::python
