#include "layers/checkpointed.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/ScopeExit.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <algorithm>
#include <utility>

namespace wkv::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Autocast {
  at::DeviceType device;
  bool enabled = at::autocast::is_autocast_enabled(device);
  at::ScalarType dtype = at::autocast::get_autocast_dtype(device);
  bool cache = at::autocast::is_autocast_cache_enabled();

  void set() const {
    at::autocast::set_autocast_enabled(device, enabled);
    at::autocast::set_autocast_dtype(device, dtype);
    at::autocast::set_autocast_cache_enabled(cache);
  }
};

// What the graph keeps beside the tensors: f, and autocast as it was in the forward pass.
struct Recomputation : torch::CustomClassHolder {
  Recomputation(TensorFunction f_, size_t inputs_, at::DeviceType device)
      : f(std::move(f_)), inputs(inputs_), autocast{device} {
    // Parameters cast ahead of the graph that they belong to, or left over from it, must not be taken for others.
    autocast.cache = false;
  }
  // With a graph both times: some layers compute otherwise without one.
  variable_list run(const variable_list& values) const {
    const Autocast now{values[0].device().type()};
    const auto restore = c10::make_scope_exit([&] { now.set(); });
    autocast.set();
    const at::AutoGradMode with_graph(true);
    return f(values);
  }
  TensorFunction f;
  size_t inputs;  // the first of the saved tensors; the others are parameters
  Autocast autocast;
};

struct Checkpointed : torch::autograd::Function<Checkpointed> {
  static variable_list forward(AutogradContext* context, const c10::intrusive_ptr<Recomputation>& recomputation,
                               at::TensorList inputs, at::TensorList parameters) {
    variable_list saved = inputs.vec();
    saved.insert(saved.end(), parameters.begin(), parameters.end());
    context->save_for_backward(std::move(saved));
    context->saved_data["recomputation"] = c10::IValue::make_capsule(recomputation);
    context->set_materialize_grads(false);
    variable_list outputs = recomputation->run(inputs.vec());
    for (at::Tensor& output : outputs) output = output.detach();
    return outputs;
  }

  // The gradients come from a graph of their own, which lives no longer than this call.
  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    const auto recomputation =
        c10::static_intrusive_pointer_cast<Recomputation>(context->saved_data["recomputation"].toCapsule());
    variable_list tensors = context->get_saved_variables();
    for (size_t i = 0; i < recomputation->inputs; ++i)
      tensors[i] = tensors[i].detach().requires_grad_(tensors[i].requires_grad());
    const variable_list outputs =
        recomputation->run({tensors.begin(), tensors.begin() + static_cast<int64_t>(recomputation->inputs)});
    variable_list wanted, from, given;
    std::ranges::copy_if(tensors, std::back_inserter(wanted),
                         [](const auto& tensor) { return tensor.requires_grad(); });
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!grad_outputs[i].defined() || !outputs[i].requires_grad()) continue;
      from.push_back(outputs[i]);
      given.push_back(grad_outputs[i]);
    }
    variable_list gradients(tensors.size() + 1);  // the first is that of the argument which is no tensor
    if (from.empty()) return gradients;
    const variable_list found = torch::autograd::grad(from, wanted, given, /*retain_graph=*/std::nullopt,
                                                      /*create_graph=*/false, /*allow_unused=*/true);
    for (size_t i = 0, next = 0; i < tensors.size(); ++i)
      if (tensors[i].requires_grad()) gradients[i + 1] = found[next++];
    return gradients;
  }
};

}  // namespace

std::vector<at::Tensor> checkpointed(TensorFunction f, const std::vector<at::Tensor>& inputs,
                                     const std::vector<at::Tensor>& parameters) {
  if (!at::GradMode::is_enabled()) return f(inputs);
  const auto recomputation =
      c10::make_intrusive<Recomputation>(std::move(f), inputs.size(), inputs.at(0).device().type());
  return Checkpointed::apply(recomputation, at::TensorList(inputs), at::TensorList(parameters));
}

at::Tensor checkpointed(std::function<at::Tensor(const at::Tensor&)> f, const at::Tensor& x,
                        const std::vector<at::Tensor>& parameters) {
  const auto of_list = [f = std::move(f)](const std::vector<at::Tensor>& inputs) {
    return std::vector<at::Tensor>{f(inputs[0])};
  };
  return checkpointed(of_list, std::vector<at::Tensor>{x}, parameters)[0];
}

}  // namespace wkv::models
