// What every model that reads images asks of them.
#pragma once
#include <ATen/core/Tensor.h>

namespace wkv::models {

// images: [B, 3, H, W] of a floating-point dtype, H and W above 0. Throws wkv::Error for others.
void check_images(const at::Tensor& images);

}  // namespace wkv::models
