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
  Recomputation(std::function<at::Tensor(const at::Tensor&)> f_, at::DeviceType device)
      : f(std::move(f_)), autocast{device} {
    // Parameters cast ahead of the graph that they belong to, or left over from it, must not be taken for others.
    autocast.cache = false;
  }
  at::Tensor run(const at::Tensor& x) const {
    const Autocast now{x.device().type()};
    const auto restore = c10::make_scope_exit([&] { now.set(); });
    autocast.set();
    return f(x);
  }
  std::function<at::Tensor(const at::Tensor&)> f;
  Autocast autocast;
};

struct Checkpointed : torch::autograd::Function<Checkpointed> {
  static at::Tensor forward(AutogradContext* context, const c10::intrusive_ptr<Recomputation>& recomputation,
                            const at::Tensor& x, at::TensorList parameters) {
    variable_list inputs = parameters.vec();
    inputs.insert(inputs.begin(), x);
    context->save_for_backward(std::move(inputs));
    context->saved_data["recomputation"] = c10::IValue::make_capsule(recomputation);
    return recomputation->run(x);
  }

  // The gradients come from a graph of their own, which lives no longer than this call.
  static variable_list backward(AutogradContext* context, const variable_list& grad_y) {
    const auto recomputation =
        c10::static_intrusive_pointer_cast<Recomputation>(context->saved_data["recomputation"].toCapsule());
    variable_list inputs = context->get_saved_variables();
    inputs[0] = inputs[0].detach().requires_grad_(inputs[0].requires_grad());
    const at::AutoGradMode with_graph(true);
    const at::Tensor y = recomputation->run(inputs[0]);
    variable_list wanted;
    std::ranges::copy_if(inputs, std::back_inserter(wanted), [](const auto& input) { return input.requires_grad(); });
    const variable_list found = torch::autograd::grad({y}, wanted, grad_y, /*retain_graph=*/std::nullopt,
                                                      /*create_graph=*/false, /*allow_unused=*/true);
    variable_list gradients(inputs.size() + 1);  // the first is that of the argument which is no tensor
    for (size_t i = 0, next = 0; i < inputs.size(); ++i)
      if (inputs[i].requires_grad()) gradients[i + 1] = found[next++];
    return gradients;
  }
};

}  // namespace

at::Tensor checkpointed(std::function<at::Tensor(const at::Tensor&)> f, const at::Tensor& x,
                        const std::vector<at::Tensor>& parameters) {
  if (!at::GradMode::is_enabled()) return f(x);
  const auto recomputation = c10::make_intrusive<Recomputation>(std::move(f), x.device().type());
  return Checkpointed::apply(recomputation, x, at::TensorList(parameters));
}

}  // namespace wkv::models
