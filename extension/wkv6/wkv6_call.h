// What the tensor entries of wkv6 and wkv5 share: the forward and the backward for a decay of each token or a constant
// one. The arguments have been checked.
#pragma once
#include <optional>
#include <tuple>

#include "core/stable.h"
#include "wkv6/wkv6_check.h"

namespace wkv {

using OptionalTensor = std::optional<Tensor>;
using Wkv6GradientTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;  // of r, k, v, w, u, state

struct Wkv6Arguments {
  Tensor r, k, v, w, u;
  OptionalTensor state, cu_seqlens;
  bool log_decay;
};

std::tuple<Tensor, Tensor> wkv6_forward(const char* op, Decay decay, const Wkv6Arguments& arguments);
Wkv6GradientTensors wkv6_backward(const char* op, Decay decay, const Tensor& grad_y, const Tensor& grad_state,
                                  const Wkv6Arguments& arguments);
// One step of the states pool[slots[i]], in place.
Tensor wkv6_decode(const char* op, Decay decay, const Wkv6Arguments& arguments, const Tensor& pool,
                   const Tensor& slots);

}  // namespace wkv
