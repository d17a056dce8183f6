#include "layers/linear.h"

#include <ATen/core/grad_mode.h>
#include <torch/nn/init.h>

#include <cmath>

#include "layers/precision.h"
#include "layers/product.h"
#include "wkv/ops.h"

namespace wkv::models {
namespace {

// So few that reading the weights takes longer than multiplying: a matrix product of more is faster.
bool has_few_rows(const at::Tensor& x) {
  constexpr int64_t kFewRows = 8;
  return x.numel() <= kFewRows * x.size(-1) && x.scalar_type() != at::kDouble;
}

bool is_decoding(const at::Tensor& x) { return has_few_rows(x) && !at::GradMode::is_enabled(); }

std::optional<at::Tensor> given(const at::Tensor& bias) { return bias.defined() ? std::optional(bias) : std::nullopt; }

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (is_decoding(x) && x.scalar_type() == weight.scalar_type()) return ops::thin_linear(x, weight, given(bias));
  return linear_product(x, weight, given(bias));
}

Linear::Linear(int64_t in, int64_t out, bool with_bias)
    : weight(register_parameter("weight", at::empty({out, in}))), inputs_(in), outputs_(out) {
  if (with_bias) bias = register_parameter("bias", at::empty({out}));
}

at::Tensor Linear::forward(const at::Tensor& x) const {
  if (adapted()) return models::linear(x, weight, bias).add(lora_b_->forward(lora_a_->forward(x)), lora_scale_);
  if (!quantized()) return models::linear(x, weight, bias);
  // On a GPU the product unpacks for many rows itself, and for few it need not wait for the matrix's header.
  if (has_few_rows(x) || x.is_cuda()) return ops::packed_linear(x, weight, given(bias));
  return linear_product(x, ops::unpack_linear(weight, x.scalar_type()), given(bias));
}

at::Tensor Linear::forward_float(const at::Tensor& x) const {
  if (quantized() || adapted() || !is_decoding(x)) return at_least_float(forward(x));
  return ops::thin_linear(x.to(at::kFloat), weight, given(bias));
}

void Linear::quantize(const std::string& format) {
  const at::NoGradGuard no_grad;
  const at::Tensor dense = weight.scalar_type() == at::kDouble ? weight.to(at::kFloat) : weight;
  weight.set_requires_grad(false);
  weight.set_data(ops::pack_linear(dense, format));
}

void Linear::adapt(int64_t rank, double alpha) {
  lora_a_ = register_module("lora_A", std::make_shared<Linear>(inputs_, rank));
  lora_b_ = register_module("lora_B", std::make_shared<Linear>(rank, outputs_));
  lora_scale_ = alpha / static_cast<double>(rank);
  const double range = 1 / std::sqrt(static_cast<double>(inputs_));
  torch::nn::init::uniform_(lora_a_->weight, -range, range);
  torch::nn::init::zeros_(lora_b_->weight);
}

void Linear::merge() {
  const at::NoGradGuard no_grad;
  weight.add_(at::matmul(lora_b_->weight, lora_a_->weight), lora_scale_);
  unregister_module("lora_A");
  unregister_module("lora_B");
  lora_a_ = lora_b_ = nullptr;
}

at::Tensor RmsNorm::forward(const at::Tensor& x) const {
  const at::Tensor wide = at_least_float(x);
  const at::Tensor scale = at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + eps);
  return (wide * scale * weight).to(weight.scalar_type());
}

}  // namespace wkv::models
