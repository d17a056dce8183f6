// Convolution and batch norm over maps [B, C, H, W], under upstream's names and without initial values of their own, as
// linear.h has them.
#pragma once
#include <ATen/Functions.h>
#include <torch/nn/module.h>

#include <cmath>
#include <memory>
#include <string>

#include "layers/initial_values.h"
#include "wkv/error.h"

namespace wkv::models {

// A kernel of odd size whose padding keeps the size of the map, or, with a stride, divides it; weight
// [out, in / groups, size, size].
struct Convolution : torch::nn::Module {
  struct Sizes {
    int64_t in, out, kernel = 1, stride = 1, groups = 1;
    bool bias = false;
  };
  explicit Convolution(const Sizes& s)
      : weight(register_parameter("weight", at::empty({s.out, s.in / s.groups, s.kernel, s.kernel}))),
        stride(s.stride),
        groups(s.groups) {
    if (s.bias) bias = register_parameter("bias", at::empty({s.out}));
  }
  at::Tensor forward(const at::Tensor& x) const {
    const int64_t padding = weight.size(2) / 2;
    return at::conv2d(x, weight, bias, {stride, stride}, {padding, padding}, {1, 1}, groups);
  }
  at::Tensor weight, bias;
  int64_t stride, groups;
};

// Each channel normalised over the batch and the map, in training by what it holds, which the running statistics follow
// (momentum 0.1, unbiased variance), else by those; eps 1e-5.
struct BatchNorm : torch::nn::Module {
  explicit BatchNorm(int64_t channels)
      : weight(register_parameter("weight", at::empty({channels}))),
        bias(register_parameter("bias", at::empty({channels}))),
        running_mean(register_buffer("running_mean", at::zeros({channels}))),
        running_var(register_buffer("running_var", at::ones({channels}))),
        num_batches_tracked(register_buffer("num_batches_tracked", at::zeros({}, at::kLong))) {}
  at::Tensor forward(const at::Tensor& x) {
    if (is_training()) {
      if (x.size(0) * x.size(2) * x.size(3) < 2) {
        throw Error(ErrorCode::invalid_argument,
                    "batch norm: training takes more than one value for each channel: use a larger batch or image");
      }
      num_batches_tracked.add_(1);
    }
    return at::batch_norm(x, weight, bias, running_mean, running_var, is_training(), /*momentum=*/0.1, /*eps=*/1e-5,
                          /*cudnn_enabled=*/true);
  }
  at::Tensor weight, bias, running_mean, running_var, num_batches_tracked;
};

// The two with a ReLU behind them, registered in a module of upstream's under its names for them.
struct NormedConvolution {
  NormedConvolution(torch::nn::Module& owner, const std::string& conv_name, const std::string& norm_name,
                    const Convolution::Sizes& sizes)
      : conv(owner.register_module(conv_name, std::make_shared<Convolution>(sizes))),
        norm(owner.register_module(norm_name, std::make_shared<BatchNorm>(sizes.out))) {}
  at::Tensor forward(const at::Tensor& x) const { return at::relu(norm->forward(conv->forward(x))); }
  std::shared_ptr<Convolution> conv;
  std::shared_ptr<BatchNorm> norm;
};

// Initial values of every convolution and batch norm in a module: normally distributed weights that keep a ReLU's
// variance backward (arXiv 1502.01852), norms that change nothing.
inline void initialise_convolutions(const torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  for (const auto& part : module.modules()) {
    if (const auto* norm = part->as<BatchNorm>()) set_identity(*norm);
    const auto* conv = part->as<Convolution>();
    if (!conv) continue;
    const int64_t fan_out = conv->weight.numel() / conv->weight.size(1) / conv->groups;
    torch::nn::init::normal_(conv->weight, 0, std::sqrt(2 / static_cast<double>(fan_out)));
    if (conv->bias.defined()) torch::nn::init::zeros_(conv->bias);
  }
}

// x [B, C, h, w] resized to [B, C, height, width], bilinear, corners not aligned, without antialias.
inline at::Tensor resize_bilinear(const at::Tensor& x, int64_t height, int64_t width) {
  if (x.size(2) == height && x.size(3) == width) return x;
  return at::upsample_bilinear2d(x, {height, width}, /*align_corners=*/false);
}

}  // namespace wkv::models
