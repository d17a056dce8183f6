// Which methods a model of each kind gets, and the file.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>
#include <torch/csrc/jit/serialization/export.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "export/script_module.h"
#include "image/pipeline.h"
#include "io/atomic_file.h"
#include "wkv/error.h"
#include "wkv/models/language_model.h"
#include "wkv/models/rrwkv.h"
#include "wkv/models/rwkv_clip.h"
#include "wkv/models/vision_model.h"
#include "wkv/zoo/export_torchscript.h"
#include "wkv/zoo/load.h"

namespace wkv::zoo {
namespace {

using Json = nlohmann::ordered_json;
using Values = std::vector<c10::IValue>;

[[noreturn]] void refuse(const models::Model& model, const std::string& why) {
  throw Error(ErrorCode::unsupported_format, fmt::format("{}: can't be exported: {}", model.family(), why));
}

at::Device device_of(const models::Model& model) { return model.parameters().front().device(); }

// Inputs of no meaning, which differ with the variant.
at::Tensor some_tokens(at::IntArrayRef shape, int64_t vocab, int64_t variant, at::Device device) {
  const int64_t count = c10::multiply_integers(shape);
  return ((at::arange(count, at::kLong) + variant) * 7919).remainder(vocab).view(shape).to(device);
}

at::Tensor some_images(const TraceSizes& sizes, int64_t variant, at::Device device) {
  const int64_t count = sizes.batch * 3 * sizes.image * sizes.image;
  const at::Tensor values = at::sin((at::arange(count, at::kDouble) + static_cast<double>(variant)).square() * 0.01);
  return values.to(device, at::kFloat).view({sizes.batch, 3, sizes.image, sizes.image});
}

// --- language models ---

c10::List<at::Tensor> tensors_of_state(const models::State& state) {
  c10::List<at::Tensor> tensors;
  for (const auto& entry : state.entries) tensors.push_back(entry.tensor);
  return tensors;
}

void require_fixed_shapes(const models::LanguageModel& model, const models::State& start) {
  for (const auto& entry : start.entries) {
    if (models::State::grows(entry.name))
      refuse(model, fmt::format("its state's {} grows with every token, and a graph's tensors do not", entry.name));
  }
  if (dynamic_cast<const models::RRWKVImpl*>(&model))
    refuse(model, "which token ends a segment depends on the state's pos, and a graph is the same for all");
}

Json add_language_methods(models::LanguageModel& model, ScriptModule& script, const TraceSizes& sizes) {
  const models::State start = model.initial_state(sizes.batch);
  require_fixed_shapes(model, start);
  const auto forward = [&](const Values& inputs) -> c10::IValue {
    models::State state = start;  // for the entries' names
    const auto given = inputs[1].toTensorVector();
    for (size_t i = 0; i < given.size(); ++i) state.entries[i].tensor = given[i];
    const auto [logits, next] = model.forward(inputs[0].toTensor(), state);
    return c10::ivalue::Tuple::create({logits, tensors_of_state(next)});
  };
  const auto inputs = [&](int64_t time, int64_t variant, const c10::List<at::Tensor>& state) -> Values {
    return {some_tokens({sizes.batch, time}, model.vocab_size(), variant, device_of(model)), state};
  };
  const auto initial_state = [&](const Values&) { return tensors_of_state(model.initial_state(sizes.batch)); };

  script.trace("initial_state", {}, {}, initial_state);
  script.trace("prompt", {"tokens", "state"}, inputs(sizes.block, 0, tensors_of_state(start)), forward);
  script.trace("decode", {"tokens", "state"}, inputs(1, 0, tensors_of_state(start)), forward);
  script.define(fmt::format(R"(
def forward(self, tokens: Tensor, state: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:
    pieces: List[Tensor] = []
    while tokens.size(1) > 0:
        if tokens.size(1) >= {0}:
            logits, state = self.prompt(tokens[:, :{0}], state)
            tokens = tokens[:, {0}:]
        else:
            logits, state = self.decode(tokens[:, :1], state)
            tokens = tokens[:, 1:]
        pieces.append(logits)
    return torch.cat(pieces, 1), state
)",
                            sizes.block));
  const c10::List<at::Tensor> later =
      forward(inputs(sizes.block, 1, tensors_of_state(start))).toTupleRef().elements()[1].toTensorList();
  script.check("initial_state", {}, initial_state);
  script.check("prompt", inputs(sizes.block, 2, later), forward);
  script.check("decode", inputs(1, 3, later), forward);

  Json description = {{"block", sizes.block}, {"vocab_size", model.vocab_size()}, {"state", Json::array()}};
  if (const std::string tokenizer = guess_tokenizer(model.vocab_size()); !tokenizer.empty())
    description["tokenizer"] = tokenizer;
  for (const auto& [name, tensor] : start.entries) {
    description["state"].push_back(
        {{"name", name}, {"shape", tensor.sizes().vec()}, {"dtype", dtype_name(tensor.scalar_type())}});
  }
  return description;
}

// --- models of images ---

// Of one argument, of which make(variant) gives any number of values.
void add_method(ScriptModule& script, const std::string& name, const std::string& argument,
                const std::function<at::Tensor(int64_t variant)>& make,
                const std::function<c10::IValue(const at::Tensor&)>& function) {
  const auto of_values = [&](const Values& inputs) { return function(inputs[0].toTensor()); };
  script.trace(name, {argument}, {make(0)}, of_values);
  script.check(name, {make(1)}, of_values);
}

void add_vision_methods(models::VisionModel& model, ScriptModule& script, const TraceSizes& sizes) {
  const auto images = [&](int64_t variant) { return some_images(sizes, variant, device_of(model)); };
  if (model.classes() > 0)
    add_method(script, "forward", "images", images, [&](const at::Tensor& x) { return model.forward(x); });
  add_method(script, "features", "images", images, [&](const at::Tensor& x) {
    c10::List<at::Tensor> tensors;
    for (const auto& [patches, class_token] : model.features(x)) {
      tensors.push_back(patches);
      if (class_token.defined()) tensors.push_back(class_token);
    }
    return tensors;
  });
}

void add_clip_methods(models::RWKVCLIPImpl& model, ScriptModule& script, const TraceSizes& sizes) {
  const models::RWKVCLIPOptions& options = model.options();
  const auto images = [&](int64_t variant) { return some_images(sizes, variant, device_of(model)); };
  const auto tokens = [&](int64_t variant) {
    return some_tokens({sizes.batch, options.context}, options.vocab, variant, device_of(model));
  };
  add_method(script, "encode_image", "images", images, [&](const at::Tensor& x) { return model.encode_image(x); });
  add_method(script, "encode_text", "tokens", tokens, [&](const at::Tensor& x) { return model.encode_text(x); });
  script.define(R"(
def forward(self, images: Tensor, tokens: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    return self.encode_image(images), self.encode_text(tokens), self.logit_scale.exp()
)");
}

// --- the file ---

Json add_image_methods(models::Model& model, ScriptModule& script, TraceSizes sizes) {
  auto* vision = dynamic_cast<models::VisionModel*>(&model);
  auto* clip = dynamic_cast<models::RWKVCLIPImpl*>(&model);
  const std::string preprocessing = vision ? vision->preprocessing() : clip->preprocessing();
  if (sizes.image == 0 && preprocessing.empty())
    throw Error(ErrorCode::invalid_argument, model.family() + ": takes images of many sizes: name one");
  if (sizes.image == 0) sizes.image = parse_pipeline(preprocessing).crop;
  if (vision) {
    add_vision_methods(*vision, script, sizes);
  } else {
    add_clip_methods(*clip, script, sizes);
  }
  Json description = {{"image", sizes.image}, {"preprocessing", preprocessing}};
  if (clip) description["context"] = clip->options().context;
  return description;
}

void save(const torch::jit::Module& module, const std::string& path, const std::string& description) {
  AtomicFile file(path);
  const auto write = [&](const void* data, size_t size) {
    file.write(data, size);
    return size;
  };
  torch::jit::ExportModule(module, write, {{"wkv.json", description}});
  file.commit();
}

}  // namespace

void export_torchscript(const std::shared_ptr<models::Model>& model, const std::string& path, const TraceSizes& sizes) {
  for (const auto& [name, value, least] :
       {std::tuple{"batch", sizes.batch, 1}, {"block", sizes.block, 2}, {"image", sizes.image, 0}}) {
    if (value < least)
      throw Error(ErrorCode::invalid_argument, fmt::format("{} must be {} or more, got {}", name, least, value));
  }
  if (model->is_training()) throw Error(ErrorCode::invalid_argument, model->family() + ": is in training mode");
  Json description = {{"family", model->family()},
                      {"config", Json::parse(model->config_json())},
                      {"dtype", dtype_name(model->parameters().front().scalar_type())},
                      {"batch", sizes.batch}};
  ScriptModule script(*model);
  if (auto* language = dynamic_cast<models::LanguageModel*>(model.get())) {
    description.update(add_language_methods(*language, script, sizes));
  } else {
    description.update(add_image_methods(*model, script, sizes));
  }
  save(script.module(), path, description.dump());
}

}  // namespace wkv::zoo
