// From images to tokens: square patches that don't overlap, each multiplied by one matrix.
#pragma once
#include <ATen/Functions.h>
#include <torch/nn/module.h>

#include <memory>
#include <utility>

#include "layers/product.h"
#include "layers/quad_shift.h"

namespace wkv::models {

struct PatchProjection : torch::nn::Module {
  PatchProjection(int64_t patch_size, int64_t width)
      : weight(register_parameter("weight", at::empty({width, 3, patch_size, patch_size}))),
        bias(register_parameter("bias", at::empty({width}))) {}
  at::Tensor weight, bias;
};

struct PatchEmbedding : torch::nn::Module {
  PatchEmbedding(int64_t patch_size_, int64_t width)
      : patch_size(patch_size_),
        projection(register_module("projection", std::make_shared<PatchProjection>(patch_size, width))) {}

  // images [B, 3, H, W], zeros added at the right and at the bottom up to whole patches; tokens [B, patches, C], row by
  // row, in the dtype of the weights.
  std::pair<at::Tensor, PatchGrid> forward(const at::Tensor& images) const {
    const PatchGrid grid{patches_over(images.size(2)), patches_over(images.size(3))};
    const int64_t below = grid.height * patch_size - images.size(2), right = grid.width * patch_size - images.size(3);
    at::Tensor padded = images.to(projection->weight.scalar_type());
    if (below > 0 || right > 0) padded = at::constant_pad_nd(padded, {0, right, 0, below});
    // A matrix product: PyTorch's bf16 convolution of one large image takes 50 times as long.
    const at::Tensor patches = padded.reshape({images.size(0), 3, grid.height, patch_size, grid.width, patch_size})
                                   .permute({0, 2, 4, 1, 3, 5});
    return {linear_product(patches.flatten(1, 2).flatten(2), projection->weight.flatten(1), projection->bias), grid};
  }
  int64_t patches_over(int64_t pixels) const { return (pixels + patch_size - 1) / patch_size; }

  int64_t patch_size;
  std::shared_ptr<PatchProjection> projection;
};

}  // namespace wkv::models
