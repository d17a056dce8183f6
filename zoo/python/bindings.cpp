// The entry of PyTorch into the handles, and what every model has.
#include <ATen/core/grad_mode.h>
#include <torch/library.h>

#include "python/handles.h"
#include "wkv/models/language_model.h"
#include "wkv/models/rwkv_clip.h"
#include "wkv/models/vision_model.h"
#include "wkv/zoo/export_torchscript.h"
#include "wkv/zoo/load.h"

namespace wkv::python {

void rethrow(const Error& error) {
  switch (error.code()) {
    case ErrorCode::invalid_argument:
    case ErrorCode::shape_mismatch:
    case ErrorCode::missing_tensor:
      C10_THROW_ERROR(ValueError, error.what());
    default:
      throw error;
  }
}

namespace {

c10::Dict<std::string, at::Tensor> to_dict(const torch::OrderedDict<std::string, at::Tensor>& tensors) {
  c10::Dict<std::string, at::Tensor> dict;
  for (const auto& item : tensors) dict.insert(item.key(), item.value());
  return dict;
}

}  // namespace

c10::intrusive_ptr<Model> Model::load(std::string path_or_name, std::string config, std::string family,
                                      std::optional<at::ScalarType> dtype, std::string quantize) {
  return c10::make_intrusive<Model>(
      zoo::load(path_or_name, {.config = config, .family = family, .dtype = dtype, .quantize = quantize}),
      path_or_name);
}

std::string Model::tokenizer() {
  if (const auto* language = dynamic_cast<models::LanguageModel*>(value.get()))
    return zoo::tokenizer_of(path_or_name, language->vocab_size());
  if (const auto* clip = dynamic_cast<models::RWKVCLIPImpl*>(value.get()))
    return zoo::tokenizer_of(path_or_name, clip->options().vocab);
  return {};
}

std::string Model::kind() {
  if (dynamic_cast<models::LanguageModel*>(value.get())) return "language";
  if (dynamic_cast<models::VisionModel*>(value.get())) return "vision";
  if (dynamic_cast<models::RWKVCLIPImpl*>(value.get())) return "clip";
  throw Error(ErrorCode::invalid_argument, family() + ": a family that Python does not know");
}

c10::Dict<std::string, at::Tensor> Model::parameters() { return to_dict(value->named_parameters()); }
c10::Dict<std::string, at::Tensor> Model::buffers() { return to_dict(value->named_buffers()); }

void Model::train(bool on) {
  if (on && value->quantized()) {
    throw Error(ErrorCode::invalid_argument,
                family() + ": is quantised, for inference only: load it in float32 or bfloat16 to train it");
  }
  value->train(on);
}

void Model::to(std::optional<at::Device> device, std::optional<at::ScalarType> dtype) {
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

void Model::export_torchscript(std::string path, int64_t batch, int64_t block, int64_t image) {
  zoo::export_torchscript(value, path, {.batch = batch, .block = block, .image = image});
}

namespace {

TORCH_LIBRARY_FRAGMENT(wkv, m) {
  using torch::arg;  // named where PyTorch may have to complain about a type
  auto model = m.class_<Model>("Model");
  model.def("kind", bound(&Model::kind))
      .def("family", bound(&Model::family))
      .def("config_json", bound(&Model::config_json))
      .def("tokenizer", bound(&Model::tokenizer))
      .def("parameters", bound(&Model::parameters))
      .def("buffers", bound(&Model::buffers))
      .def("is_training", bound(&Model::is_training))
      .def("train", bound(&Model::train))
      .def("to", bound(&Model::to), "", {arg("device"), arg("dtype")})
      .def("export_torchscript", bound(&Model::export_torchscript), "",
           {arg("path"), arg("batch"), arg("block"), arg("size")})
      .def_static("load", bound(&Model::load));
  m.class_<Tokenizer>("Tokenizer")
      .def("name", bound(&Tokenizer::name))
      .def("vocab_size", bound(&Tokenizer::vocab_size))
      .def("encode", bound(&Tokenizer::encode))
      .def("encode_row", bound(&Tokenizer::encode_row))
      .def("decode", bound(&Tokenizer::decode))
      .def_static("load", bound(&Tokenizer::load));
  define_language(m, model);
  define_vision(m, model);
  define_catalogue(m);
  define_download(m);
}

}  // namespace
}  // namespace wkv::python
