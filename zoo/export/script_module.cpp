#include "export/script_module.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>

#include <memory>
#include <utility>

#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using torch::jit::Stack;

// The module's tree, with the same tensors under the same names.
torch::jit::Module mirror(const torch::nn::Module& model, const std::string& name,
                          const std::shared_ptr<torch::jit::CompilationUnit>& unit) {
  torch::jit::Module module(c10::QualifiedName("__torch__.wkv." + name), unit, /*shouldMangle=*/true);
  for (const auto& item : model.named_parameters(/*recurse=*/false))
    module.register_parameter(item.key(), item.value(), /*is_buffer=*/false);
  for (const auto& item : model.named_buffers(/*recurse=*/false)) module.register_buffer(item.key(), item.value());
  for (const auto& item : model.named_children())
    module.register_module(item.key(), mirror(*item.value(), "Part", unit));
  return module;
}

// All tensors of a value, in order.
void collect(const c10::IValue& value, std::vector<at::Tensor>& tensors) {
  if (value.isTensor()) {
    tensors.push_back(value.toTensor());
  } else if (value.isTuple()) {
    for (const c10::IValue& element : value.toTupleRef().elements()) collect(element, tensors);
  } else {
    for (const at::Tensor& tensor : value.toTensorVector()) tensors.push_back(tensor);
  }
}

std::vector<at::Tensor> tensors_of(const c10::IValue& value) {
  std::vector<at::Tensor> tensors;
  collect(value, tensors);
  return tensors;
}

bool same_numbers(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) return false;
  const double tolerance = a.scalar_type() == at::kBFloat16 || a.scalar_type() == at::kHalf ? 2e-2 : 1e-5;
  return at::allclose(a, b, tolerance, tolerance, /*equal_nan=*/true);
}

}  // namespace

ScriptModule::ScriptModule(const models::Model& model)
    : family_(model.family()), module_(mirror(model, "Model", std::make_shared<torch::jit::CompilationUnit>())) {
  module_.register_attribute("training", c10::BoolType::get(), false);
}

void ScriptModule::trace(const std::string& method, const std::vector<std::string>& arguments,
                         const std::vector<c10::IValue>& inputs, const Function& function) {
  const at::AutoGradMode plain_operators(true);  // what is fused for inference alone works on addresses, unseen
  const auto traced = [&](const Stack& stack) -> Stack {
    const torch::jit::tracer::NoWarn checks_read_values;
    return {function(stack)};
  };
  const auto state = torch::jit::tracer::trace(
                         inputs, traced, [](const at::Tensor&) { return std::string(); }, /*strict=*/false,
                         /*force_outplace=*/false, &module_, arguments)
                         .first;
  torch::jit::EliminateDeadCode(state->graph);
  const c10::QualifiedName name(*module_.type()->name(), method);
  module_.type()->addMethod(module_._ivalue()->compilation_unit()->create_function(name, state->graph));
}

void ScriptModule::check(const std::string& method, const std::vector<c10::IValue>& inputs, const Function& function) {
  const at::AutoGradMode plain_operators(true);
  const std::vector<at::Tensor> expected = tensors_of(function(inputs));
  const std::vector<at::Tensor> got = tensors_of(module_.get_method(method)(inputs));
  bool same = expected.size() == got.size();
  for (size_t i = 0; same && i < got.size(); ++i) same = same_numbers(expected[i], got[i]);
  if (!same) {
    throw Error(
        ErrorCode::unsupported_format,
        fmt::format("{}: can't be exported: {} depends on more than the shapes of its inputs", family_, method));
  }
}

}  // namespace wkv::zoo
