// Small modules that hold parameters under upstream's names and have no initial values of their own: the model gives
// them, so that a loader need not pay for values it replaces at once.
#pragma once
#include <ATen/Functions.h>
#include <torch/nn/module.h>

#include <memory>

namespace wkv::models {

// y = x W^T (+ bias); weight [out, in].
struct Linear : torch::nn::Module {
  Linear(int64_t in, int64_t out, bool with_bias = false) : weight(register_parameter("weight", at::empty({out, in}))) {
    if (with_bias) bias = register_parameter("bias", at::empty({out}));
  }
  at::Tensor forward(const at::Tensor& x) const { return at::linear(x, weight, bias); }
  at::Tensor weight, bias;
};

// LayerNorm over the last dimension, eps 1e-5.
struct LayerNorm : torch::nn::Module {
  explicit LayerNorm(int64_t width)
      : weight(register_parameter("weight", at::empty({width}))),
        bias(register_parameter("bias", at::empty({width}))) {}
  at::Tensor forward(const at::Tensor& x) const { return at::layer_norm(x, {weight.size(0)}, weight, bias, 1e-5); }
  at::Tensor weight, bias;
};

// GroupNorm with one group a head, over x [..., C]: each head's values normalised by themselves, in x's dtype.
struct HeadNorm : torch::nn::Module {
  HeadNorm(int64_t heads_, int64_t width, double eps_)
      : weight(register_parameter("weight", at::empty({width}))),
        bias(register_parameter("bias", at::empty({width}))),
        heads(heads_),
        eps(eps_) {}
  at::Tensor forward(const at::Tensor& x) const {
    const at::ScalarType dtype = x.scalar_type();
    return at::group_norm(x.reshape({-1, weight.size(0)}), heads, weight.to(dtype), bias.to(dtype), eps)
        .view(x.sizes());
  }
  at::Tensor weight, bias;
  int64_t heads;
  double eps;
};

}  // namespace wkv::models
