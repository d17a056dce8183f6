// Language models, their states, tokenizers and generators for Python.
#include <ATen/core/grad_mode.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "python/handles.h"
#include "wkv/models/language_model.h"
#include "wkv/zoo/generate.h"
#include "wkv/zoo/generate_batch.h"
#include "wkv/zoo/state_file.h"

namespace wkv::python {
namespace {

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

using Mask = std::optional<at::Tensor>;

models::LanguageModel& language_model(const ModelHandle& model) {
  return model->as<models::LanguageModel>("a language model");
}

models::SequenceLayout layout(const Mask& attention_mask, const Mask& cu_seqlens) {
  return {.attention_mask = attention_mask.value_or(at::Tensor()), .cu_seqlens = cu_seqlens.value_or(at::Tensor())};
}

std::tuple<at::Tensor, c10::intrusive_ptr<State>> forward(ModelHandle self, at::Tensor tokens, OptionalState state,
                                                          Mask attention_mask, Mask cu_seqlens) {
  auto [logits, next] = language_model(self).forward(tokens, value_or_empty(state), layout(attention_mask, cu_seqlens));
  return {std::move(logits), State::wrap(std::move(next))};
}

at::Tensor loss(ModelHandle self, at::Tensor tokens, at::Tensor targets, std::optional<double> logit_penalty,
                Mask attention_mask, Mask cu_seqlens) {
  return language_model(self).loss(tokens, targets, logit_penalty, layout(attention_mask, cu_seqlens));
}

std::tuple<at::Tensor, c10::intrusive_ptr<State>> read(ModelHandle self, at::Tensor tokens, OptionalState state,
                                                       Mask attention_mask, int64_t block) {
  const at::NoGradGuard no_grad;
  models::LanguageModel& model = language_model(self);
  auto [hidden, next] = model.read(tokens, value_or_empty(state), attention_mask.value_or(at::Tensor()), block);
  return {model.logits(hidden), State::wrap(std::move(next))};
}

at::Tensor decode(ModelHandle self, at::Tensor tokens, c10::intrusive_ptr<State> pool, at::Tensor slots) {
  const at::NoGradGuard no_grad;
  models::LanguageModel& model = language_model(self);
  return model.logits(model.decode(tokens, pool->value, slots));
}

c10::intrusive_ptr<State> initial_state(ModelHandle self, int64_t batch) {
  return State::wrap(language_model(self).initial_state(batch));
}

struct Generator : torch::CustomClassHolder {
  Generator(ModelHandle model, TokenizerHandle tokenizer, const std::string& prompt, const GenerateOptions& options,
            const OptionalState& state)
      : model_(std::move(model)),
        tokenizer_(std::move(tokenizer)),
        value_(language_model(model_), *tokenizer_->value, prompt, options, {value_or_empty(state), {}}) {}

  std::optional<std::string> next() { return value_.next(); }

 private:
  ModelHandle model_;
  TokenizerHandle tokenizer_;
  wkv::Generator value_;
};

GenerateOptions generate_options(int64_t max_tokens, double temperature, double top_p, int64_t top_k,
                                 std::optional<int64_t> seed, std::vector<std::string> stop) {
  GenerateOptions options;
  options.max_tokens = max_tokens;
  options.sampler = {.temperature = temperature, .top_p = top_p, .top_k = top_k};
  if (seed) options.seed = static_cast<std::uint64_t>(*seed);
  options.stop = std::move(stop);
  return options;
}

c10::intrusive_ptr<Generator> start_generator(ModelHandle model, TokenizerHandle tokenizer, std::string prompt,
                                              int64_t max_tokens, double temperature, double top_p, int64_t top_k,
                                              std::optional<int64_t> seed, std::vector<std::string> stop,
                                              OptionalState state) {
  const GenerateOptions options = generate_options(max_tokens, temperature, top_p, top_k, seed, std::move(stop));
  return c10::make_intrusive<Generator>(std::move(model), std::move(tokenizer), prompt, options, state);
}

std::vector<std::string> generate_texts(ModelHandle model, TokenizerHandle tokenizer, std::vector<std::string> prompts,
                                        int64_t width, int64_t max_tokens, double temperature, double top_p,
                                        int64_t top_k, std::optional<int64_t> seed, std::vector<std::string> stop) {
  const GenerateOptions options = generate_options(max_tokens, temperature, top_p, top_k, seed, std::move(stop));
  std::vector<std::string> texts;
  for (auto& result : generate_batch(language_model(model), *tokenizer->value, prompts, options, width))
    texts.push_back(std::move(result.text));
  return texts;
}

}  // namespace

void define_language(torch::Library& library, torch::class_<Model>& model) {
  using torch::arg;
  library.class_<State>("State")
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
  model.def("forward", bound(&forward), "", {arg("tokens"), arg("state"), arg("attention_mask"), arg("cu_seqlens")})
      .def("loss", bound(&loss), "",
           {arg("tokens"), arg("targets"), arg("logit_penalty"), arg("attention_mask"), arg("cu_seqlens")})
      .def("read", bound(&read), "", {arg("tokens"), arg("state"), arg("attention_mask"), arg("block")})
      .def("decode", bound(&decode), "", {arg("tokens"), arg("pool"), arg("slots")})
      .def("initial_state", bound(&initial_state), "", {arg("batch")});
  library.class_<Generator>("Generator")
      .def("next", bound(&Generator::next))
      .def_static("start", bound(&start_generator))
      .def_static("batch", bound(&generate_texts));
}

}  // namespace wkv::python
