// Gradient checkpointing: what lies between input and output of f is computed a second time when it is needed.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "wkv/export.h"

namespace wkv::models {

using TensorFunction = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

// f(inputs), of which training keeps the inputs only. parameters: every tensor beside them that f depends on and that
// may need a gradient; they must not change between forward and backward, and f must give the same values each time.
WKV_API std::vector<at::Tensor> checkpointed(TensorFunction f, const std::vector<at::Tensor>& inputs,
                                             const std::vector<at::Tensor>& parameters);
// The same of one tensor.
WKV_API at::Tensor checkpointed(std::function<at::Tensor(const at::Tensor&)> f, const at::Tensor& x,
                                const std::vector<at::Tensor>& parameters);

}  // namespace wkv::models
