// Small modules that hold parameters under upstream's names and have no initial values of their own: the model gives
// them, so that a loader need not pay for values it replaces at once.
#pragma once
#include <ATen/Functions.h>
#include <torch/nn/module.h>

#include <memory>
#include <string>

#include "wkv/ops.h"

namespace wkv::models {

// x [..., in] times the transposed weight [out, in], plus bias [out].
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

// The same as a module; weight [out, in], or, once quantised, what ops::pack_linear makes of it.
struct Linear : torch::nn::Module {
  Linear(int64_t in, int64_t out, bool with_bias = false);
  at::Tensor forward(const at::Tensor& x) const;
  // In fp32 (fp64 for fp64 x), not rounded to the dtype of x where that costs nothing.
  at::Tensor forward_float(const at::Tensor& x) const;
  // Replaces the weight by one in the format "int8" or "int4", which takes no part in training.
  void quantize(const std::string& format);
  bool quantized() const { return weight.scalar_type() == at::kByte; }
  // Low-rank adaptation, arXiv 2106.09685: from now on alpha / rank * B A x is added. A, the parameter lora_A.weight
  // [rank, in], is random and B, lora_B.weight [out, rank], zero.
  void adapt(int64_t rank, double alpha);
  bool adapted() const { return lora_a_ != nullptr; }
  // Adds the adapter to the weight, and removes it.
  void merge();
  int64_t inputs() const { return inputs_; }
  int64_t outputs() const { return outputs_; }

  at::Tensor weight, bias;

 private:
  int64_t inputs_, outputs_;
  std::shared_ptr<Linear> lora_a_, lora_b_;
  double lora_scale_ = 0;
};

// Rows of weight [vocabulary, width] by token.
struct Embedding : torch::nn::Module {
  Embedding(int64_t vocabulary, int64_t width) : weight(register_parameter("weight", at::empty({vocabulary, width}))) {}
  at::Tensor forward(const at::Tensor& tokens) const { return at::embedding(weight, tokens); }
  at::Tensor weight;
};

// LayerNorm over the last dimension.
struct LayerNorm : torch::nn::Module {
  explicit LayerNorm(int64_t width, double eps_ = 1e-5)
      : weight(register_parameter("weight", at::empty({width}))),
        bias(register_parameter("bias", at::empty({width}))),
        eps(eps_) {}
  at::Tensor forward(const at::Tensor& x) const { return at::layer_norm(x, {weight.size(0)}, weight, bias, eps); }
  at::Tensor weight, bias;
  double eps;
};

// x / sqrt(mean(x^2) + eps) * weight over the last dimension, in fp32 at least; the result has the weight's dtype.
struct RmsNorm : torch::nn::Module {
  RmsNorm(int64_t width, double eps_) : weight(register_parameter("weight", at::empty({width}))), eps(eps_) {}
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor weight;
  double eps;
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
  // x [B, T, H, N] normalised, times gate, or silu(gate), of the same shape and of the model's dtype; x may be fp32.
  at::Tensor gated(const at::Tensor& x, const at::Tensor& gate, bool silu) const {
    return ops::gated_head_norm(x, by_head(weight), by_head(bias), gate, eps, silu);
  }
  at::Tensor by_head(const at::Tensor& parameter) const { return parameter.view({heads, -1}); }
  at::Tensor weight, bias;
  int64_t heads;
  double eps;
};

}  // namespace wkv::models
