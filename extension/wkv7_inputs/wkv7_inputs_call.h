// The arguments of _wkv7_inputs, checked and contiguous, and what it and its backward return: the same on every device.
#pragma once
#include "core/stable.h"
#include "wkv7_inputs/wkv7_inputs.h"
#include "wkv7_inputs/wkv7_inputs_check.h"

namespace wkv {

using OptionalTensor = std::optional<Tensor>;
using Wkv7InputsTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;
using Wkv7InputsGradientTensors =
    std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

struct Wkv7InputsCall {
  Wkv7InputsCall(const char* op, const Tensor& decay_, const Tensor& rate_, const Tensor& k_, const Tensor& w0_,
                 const Tensor& a0_, const Tensor& k_k_, const Tensor& k_a_, const OptionalTensor& v_,
                 const OptionalTensor& first_value_, const OptionalTensor& residual_, const OptionalTensor& v0_) {
    check_wkv7_inputs(op, decay_, rate_, k_, w0_, a0_, k_k_, k_a_, v_, first_value_, residual_, v0_);
    sequences = {as_contiguous(decay_), as_contiguous(rate_), as_contiguous(k_)};
    parameters = {as_contiguous(w0_), as_contiguous(a0_), as_contiguous(k_k_), as_contiguous(k_a_)};
    if (v_) {
      for (const auto* tensor : {&v_, &first_value_, &residual_}) sequences.push_back(as_contiguous(**tensor));
      parameters.push_back(as_contiguous(*v0_));
    }
    const auto address = [&](size_t i) { return i < sequences.size() ? sequences[i].const_data_ptr() : nullptr; };
    const auto row = [&](size_t i) {
      if (i >= parameters.size()) return ParameterRow{nullptr, false};
      return ParameterRow{parameters[i].const_data_ptr(), parameters[i].scalar_type() == ScalarType::Float};
    };
    arguments = {.decay = address(0),
                 .rate = address(1),
                 .k = address(2),
                 .w0 = row(0),
                 .a0 = row(1),
                 .k_k = row(2),
                 .k_a = row(3),
                 .v = address(3),
                 .first_value = address(4),
                 .residual = address(5),
                 .v0 = row(4),
                 .tokens = k_.size(0) * k_.size(1),
                 .heads = k_.size(2),
                 .head_size = k_.size(3)};
  }

  const Tensor& k() const { return sequences[2]; }
  bool has_v() const { return sequences.size() > 3; }
  Tensor like_k() const { return new_empty(k(), k().sizes()); }
  Tensor like_v() const { return has_v() ? like_k() : new_empty(k(), {0}); }

  std::vector<Tensor> sequences;   // decay, rate, k; v, first_value, residual, where there is a v
  std::vector<Tensor> parameters;  // w0, a0, k_k, k_a; v0
  Wkv7InputsArguments arguments;
};

// What the op returns, before it is written.
struct Wkv7InputsResult {
  explicit Wkv7InputsResult(const Wkv7InputsCall& call)
      : tensors(new_empty(call.k(), call.k().sizes(), state_type(call.k())), call.like_k(), call.like_k(),
                call.like_k(), call.like_v()) {}
  Wkv7InputsOutputs addresses() const {
    const auto& [w, k, a, b, v] = tensors;
    return {.w = w.mutable_data_ptr(),
            .k = k.mutable_data_ptr(),
            .a = a.mutable_data_ptr(),
            .b = b.mutable_data_ptr(),
            .v = v.mutable_data_ptr()};
  }
  Wkv7InputsTensors tensors;
};

// The gradients of the outputs, checked and contiguous, and those of the sequences.
struct Wkv7InputsTokenGradients {
  Wkv7InputsTokenGradients(const char* op, const Wkv7InputsCall& call, const Tensor& grad_w, const Tensor& grad_k,
                           const Tensor& grad_a, const Tensor& grad_b, const Tensor& grad_v)
      : decay(call.like_k()),
        rate(call.like_k()),
        k(call.like_k()),
        v(call.like_v()),
        first_value(call.like_v()),
        residual(call.like_v()) {
    check_wkv7_inputs_gradients(op, grad_w, grad_k, grad_a, grad_b, grad_v, call.k(), call.has_v());
    for (const auto* tensor : {&grad_w, &grad_k, &grad_a, &grad_b, &grad_v}) given.push_back(as_contiguous(*tensor));
  }
  Wkv7InputsGradients addresses() const {
    return {.w = given[0].const_data_ptr(),
            .k = given[1].const_data_ptr(),
            .a = given[2].const_data_ptr(),
            .b = given[3].const_data_ptr(),
            .v = given[4].const_data_ptr(),
            .decay = decay.mutable_data_ptr(),
            .rate = rate.mutable_data_ptr(),
            .k_in = k.mutable_data_ptr(),
            .v_in = v.mutable_data_ptr(),
            .first_value = first_value.mutable_data_ptr(),
            .residual = residual.mutable_data_ptr(),
            .parameters = {}};
  }
  // total(i, parameter): the gradient of parameter i.
  template <class Total>
  Wkv7InputsGradientTensors with_parameters(const Wkv7InputsCall& call, const Total& total) const {
    const auto of = [&](size_t i) -> Tensor { return total(static_cast<int64_t>(i), call.parameters[i]); };
    return {decay,
            rate,
            k,
            of(0),
            of(1),
            of(2),
            of(3),
            v,
            first_value,
            residual,
            call.has_v() ? of(4) : new_empty(call.k(), {0})};
  }

  std::vector<Tensor> given;
  Tensor decay, rate, k, v, first_value, residual;
};

}  // namespace wkv
