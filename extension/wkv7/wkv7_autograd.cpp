// wkv7 for PyTorch's other layers: the typed call, gradients, shapes without data, autocast.
#include <ATen/Functions.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "wkv/ops.h"
#include "wkv7/wkv7_check.h"

namespace wkv {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<Tensor>;
using Outputs = std::tuple<Tensor, Tensor>;
using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;
using Forward = Outputs(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                        const OptionalTensor&, const OptionalTensor&, bool);
using Backward = Gradients(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                           const Tensor&, const Tensor&, const OptionalTensor&, const OptionalTensor&, bool);

OptionalTensor given(const Tensor& tensor) { return tensor.defined() ? OptionalTensor(tensor) : std::nullopt; }

std::vector<c10::SymInt> wkv7_state_shape(const Tensor& k, const Tensor& v, const OptionalTensor& cu_seqlens) {
  return {cu_seqlens ? cu_seqlens->sym_size(0) - 1 : k.sym_size(0), k.sym_size(2), v.sym_size(3), k.sym_size(3)};
}
at::TensorOptions wkv7_state_options(const Tensor& k) {
  return k.options().dtype(k.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
}

Outputs wkv7_meta(const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& a, const Tensor& b,
                  const OptionalTensor& state, const OptionalTensor& cu_seqlens, bool) {
  check_wkv7("wkv7", r, w, k, v, a, b, state, cu_seqlens);
  return {at::empty_symint(v.sym_sizes(), v.options()),
          at::empty_symint(wkv7_state_shape(k, v, cu_seqlens), wkv7_state_options(k))};
}

Gradients wkv7_backward_meta(const Tensor& grad_y, const Tensor& grad_state, const Tensor& r, const Tensor& w,
                             const Tensor& k, const Tensor& v, const Tensor& a, const Tensor& b,
                             const OptionalTensor& state, const OptionalTensor& cu_seqlens, bool) {
  check_wkv7("_wkv7_backward", r, w, k, v, a, b, state, cu_seqlens);
  check_wkv7_gradients("_wkv7_backward", grad_y, grad_state, r, v, cu_seqlens);
  const auto like = [](const Tensor& x) { return at::empty_symint(x.sym_sizes(), x.options()); };
  return {like(r),
          like(w),
          like(k),
          like(v),
          like(a),
          like(b),
          at::empty_symint(wkv7_state_shape(k, v, cu_seqlens), wkv7_state_options(k))};
}

struct Wkv7 : torch::autograd::Function<Wkv7> {
  static constexpr bool is_traceable = true;

  static variable_list forward(AutogradContext* ctx, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
                               const Tensor& a, const Tensor& b, const OptionalTensor& state,
                               const OptionalTensor& cu_seqlens, bool log_decay) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({r, w, k, v, a, b, state.value_or(Tensor()), cu_seqlens.value_or(Tensor())});
    ctx->saved_data["log_decay"] = log_decay;
    auto [y, state_after] = ops::wkv7(r, w, k, v, a, b, state, cu_seqlens, log_decay);
    return {y, state_after};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("wkv::_wkv7_backward", "").typed<Backward>();
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &r = saved[0], &w = saved[1], &k = saved[2], &v = saved[3], &a = saved[4], &b = saved[5];
    const OptionalTensor state = given(saved[6]), cu_seqlens = given(saved[7]);
    const Tensor grad_y = grads[0].defined() ? grads[0] : at::zeros_symint(v.sym_sizes(), v.options());
    const Tensor grad_state =
        grads[1].defined() ? grads[1] : at::zeros_symint(wkv7_state_shape(k, v, cu_seqlens), wkv7_state_options(k));
    auto [grad_r, grad_w, grad_k, grad_v, grad_a, grad_b, grad_before] =
        op.call(grad_y, grad_state, r, w, k, v, a, b, state, cu_seqlens, ctx->saved_data["log_decay"].toBool());
    return {grad_r, grad_w, grad_k, grad_v, grad_a, grad_b, state ? grad_before : Tensor(), Tensor(), Tensor()};
  }
};

Outputs wkv7_autograd(const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& a,
                      const Tensor& b, const OptionalTensor& state, const OptionalTensor& cu_seqlens, bool log_decay) {
  check_wkv7("wkv7", r, w, k, v, a, b, state, cu_seqlens);  // here already, because apply() needs tensors that exist
  const variable_list outputs = Wkv7::apply(r, w, k, v, a, b, state, cu_seqlens, log_decay);
  return {outputs[0], outputs[1]};
}

// The decay and the state keep their precision.
template <c10::DeviceType kDevice>
Outputs wkv7_autocast(const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& a,
                      const Tensor& b, const OptionalTensor& state, const OptionalTensor& cu_seqlens, bool log_decay) {
  const c10::impl::ExcludeDispatchKeyGuard guard(
      c10::DispatchKeySet{c10::DispatchKey::AutocastCPU, c10::DispatchKey::AutocastCUDA});
  const auto cast = [type = at::autocast::get_autocast_dtype(kDevice)](const Tensor& x) {
    return at::autocast::cached_cast(type, x, kDevice);
  };
  return ops::wkv7(cast(r), w, cast(k), cast(v), cast(a), cast(b), state, cu_seqlens, log_decay);
}

}  // namespace

std::tuple<Tensor, Tensor> ops::wkv7(const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
                                     const Tensor& a, const Tensor& b, const OptionalTensor& state,
                                     const OptionalTensor& cu_seqlens, bool log_decay) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("wkv::wkv7", "").typed<Forward>();
  return op.call(r, w, k, v, a, b, state, cu_seqlens, log_decay);
}

}  // namespace wkv

TORCH_LIBRARY_IMPL(wkv, Meta, m) {
  m.impl("wkv7", wkv::wkv7_meta);
  m.impl("_wkv7_backward", wkv::wkv7_backward_meta);
}
TORCH_LIBRARY_IMPL(wkv, Autograd, m) {
  m.impl("wkv7", wkv::wkv7_autograd);
  m.impl("_wkv7_backward", torch::autograd::autogradNotImplementedFallback());
}
TORCH_LIBRARY_IMPL(wkv, AutocastCPU, m) { m.impl("wkv7", wkv::wkv7_autocast<c10::DeviceType::CPU>); }
TORCH_LIBRARY_IMPL(wkv, AutocastCUDA, m) { m.impl("wkv7", wkv::wkv7_autocast<c10::DeviceType::CUDA>); }
