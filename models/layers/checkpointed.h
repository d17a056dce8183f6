// Gradient checkpointing: what lies between input and output of f is computed a second time when it is needed.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "wkv/export.h"

namespace wkv::models {

// f(x), of which training keeps x only. parameters: every tensor beside x that f depends on and that may need a
// gradient; they must not change between forward and backward, and f must give the same value each time.
WKV_API at::Tensor checkpointed(std::function<at::Tensor(const at::Tensor&)> f, const at::Tensor& x,
                                const std::vector<at::Tensor>& parameters);

}  // namespace wkv::models
