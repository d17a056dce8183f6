// Matrix products as the layers use them: PyTorch's own, but not its loops for bf16 and fp16 on a CPU without
// instructions for those. They take some eight times as long as the same product in fp32, which is done instead, and
// rounded.
#pragma once
#include <ATen/Functions.h>

#include <optional>

#include "wkv/export.h"

namespace wkv::models {

// As at::linear, at::matmul and at::bmm, under autocast too.
at::Tensor linear_product(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias);
at::Tensor matrix_product(const at::Tensor& x, const at::Tensor& matrix);
at::Tensor batched_product(const at::Tensor& left, const at::Tensor& right);

// The same product in fp32, of the dtype that the operands have, or that autocast gives them.
WKV_API at::Tensor matrix_product_in_float(const at::Tensor& x, const at::Tensor& matrix);

}  // namespace wkv::models
