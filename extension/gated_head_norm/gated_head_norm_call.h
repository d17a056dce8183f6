// The arguments of _gated_head_norm, checked and contiguous, and what its backward returns: the same on every device.
#pragma once
#include "core/stable.h"
#include "gated_head_norm/gated_head_norm_check.h"

namespace wkv {

using OptionalTensor = std::optional<Tensor>;
using GatedHeadNormGradientTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

struct GatedHeadNormCall {
  GatedHeadNormCall(const char* op, const Tensor& x_, const Tensor& weight_, const Tensor& bias_, const Tensor& gate_,
                    const OptionalTensor& r_, const OptionalTensor& k_, const OptionalTensor& v_,
                    const OptionalTensor& bonus_, double eps, bool silu) {
    check_gated_head_norm(op, x_, weight_, bias_, gate_, r_, k_, v_, bonus_, eps);
    const auto if_given = [](const OptionalTensor& tensor) {
      return tensor ? OptionalTensor(as_contiguous(*tensor)) : std::nullopt;
    };
    x = as_contiguous(x_);
    weight = as_contiguous(weight_);
    bias = as_contiguous(bias_);
    gate = as_contiguous(gate_);
    r = if_given(r_);
    k = if_given(k_);
    v = if_given(v_);
    bonus = if_given(bonus_);
    const auto row = [](const Tensor& tensor) {
      return ParameterRow{tensor.const_data_ptr(), tensor.scalar_type() == ScalarType::Float};
    };
    inputs = {.x = row(x),
              .weight = row(weight),
              .bias = row(bias),
              .gate = gate.const_data_ptr(),
              .r = r ? r->const_data_ptr() : nullptr,
              .k = k ? k->const_data_ptr() : nullptr,
              .v = v ? v->const_data_ptr() : nullptr,
              .bonus = bonus ? row(*bonus) : ParameterRow{nullptr, false},
              .tokens = x.size(0) * x.size(1),
              .heads = x.size(2),
              .head_size = x.size(3),
              .eps = eps,
              .silu = silu};
  }

  Tensor x, weight, bias, gate;
  OptionalTensor r, k, v, bonus;
  GatedHeadNormInputs inputs;
};

// What each token has a gradient of.
struct GatedHeadNormTokenGradients {
  explicit GatedHeadNormTokenGradients(const GatedHeadNormCall& call)
      : x(new_empty(call.x, call.x.sizes())),
        gate(new_empty(call.gate, call.gate.sizes())),
        r(of(call, call.r)),
        k(of(call, call.k)),
        v(of(call, call.v)) {}

  GatedHeadNormGradients addresses(const Tensor& grad_y) const {
    const auto address = [](const Tensor& tensor) { return tensor.mutable_data_ptr(); };
    return {.y = grad_y.const_data_ptr(),
            .x = address(x),
            .gate = address(gate),
            .r = address(r),
            .k = address(k),
            .v = address(v)};
  }
  // total(i, parameter): the gradient of parameter i: weight, bias, bonus.
  template <class Total>
  GatedHeadNormGradientTensors with_parameters(const GatedHeadNormCall& call, const Total& total) const {
    return {x,
            total(0, call.weight),
            total(1, call.bias),
            gate,
            r,
            k,
            v,
            call.bonus ? total(2, *call.bonus) : new_empty(gate, {0})};
  }

  Tensor x, gate, r, k, v;

 private:
  static Tensor of(const GatedHeadNormCall& call, const OptionalTensor& tensor) {
    return tensor ? new_empty(*tensor, tensor->sizes()) : new_empty(call.gate, {0});
  }
};

}  // namespace wkv
