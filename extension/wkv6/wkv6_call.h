// What the tensor entries of wkv6, wkv5 and bi_wkv6 share: arguments that have been checked, as the kernels want them;
// of wkv6 and wkv5 the forward, the backward and the decode step, for a decay of each token or a constant one.
#pragma once
#include <optional>
#include <tuple>

#include "core/head_tasks.h"
#include "core/sequences.h"
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

struct Wkv6Call {
  Tensor r, k, v, w, u;
  OptionalTensor state;
  std::vector<Sequence> sequences;
  Wkv6Inputs inputs;
  HeadSizes sizes;
  const Wkv6Kernels& kernels;

  Wkv6Call(const char* op, Decay decay, const Wkv6Arguments& x)
      : r(as_contiguous(x.r)),
        k(as_contiguous(x.k)),
        v(as_contiguous(x.v)),
        w(as_contiguous(x.w)),
        u(as_contiguous(x.u)),
        state(x.state ? OptionalTensor(as_contiguous(*x.state)) : std::nullopt),
        sequences(sequences_of(op, r.size(0), r.size(1), x.cu_seqlens)),
        inputs{.r = r.const_data_ptr(),
               .k = k.const_data_ptr(),
               .v = v.const_data_ptr(),
               .decay = {w.const_data_ptr(), w.scalar_type() == ScalarType::Float, x.log_decay},
               .constant_decay = decay == Decay::kConstant,
               .u = u.const_data_ptr(),
               .float_u = u.scalar_type() == ScalarType::Float,
               .heads = r.size(2),
               .key_size = r.size(3),
               .value_size = v.size(3)},
        sizes{inputs.heads, inputs.key_size, inputs.value_size},
        kernels(wkv6_kernels().of[static_cast<int>(io_type(r))]) {}

  bool doubles() const { return r.scalar_type() == ScalarType::Double; }
  std::vector<int64_t> state_shape() const {
    return {static_cast<int64_t>(sequences.size()), inputs.heads, inputs.value_size, inputs.key_size};
  }
  // Head `head` of sequence `row` in a tensor of states.
  template <class Byte>
  Byte* state_of(Byte* states, int64_t row, int64_t head) const {
    return states + (row * inputs.heads + head) * inputs.value_size * inputs.key_size * (doubles() ? 8 : 4);
  }
  Wkv6Sequence sequence(int64_t row, int64_t head) const {
    const char* before = state ? state_of(static_cast<const char*>(state->const_data_ptr()), row, head) : nullptr;
    return {sequences[row].first_token, sequences[row].length, head, before};
  }
};

std::tuple<Tensor, Tensor> wkv6_forward(const char* op, Decay decay, const Wkv6Arguments& arguments);
Wkv6GradientTensors wkv6_backward(const char* op, Decay decay, const Tensor& grad_y, const Tensor& grad_state,
                                  const Wkv6Arguments& arguments);
// One step of the states pool[slots[i]], in place.
Tensor wkv6_decode(const char* op, Decay decay, const Wkv6Arguments& arguments, const Tensor& pool,
                   const Tensor& slots);

}  // namespace wkv
