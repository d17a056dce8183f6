// Token shift: each position also sees its predecessor's value.
#pragma once
#include <ATen/Functions.h>

#include <optional>
#include <vector>

#include "core/sequences.h"
#include "layers/precision.h"
#include "wkv/ops.h"

namespace wkv::models {

// How a checkpoint states the mix of a token x with its predecessor p.
enum class MixForm {
  of_token,        // time_mix_*: x * mix + p * (1 - mix), RWKV-4 and 5
  of_predecessor,  // time_maa_*, x_*: x + (p - x) * mix, RWKV-6 and 7
};

// x [B, T, C] mixed with its predecessors by each of the mixes [1, 1, C], to which the changes [M, B, T, C] are added.
// last [rows, C], the value ahead of each sequence's first position, becomes its last one.
inline std::vector<at::Tensor> mix_tokens(const at::Tensor& x, at::Tensor& last, const std::vector<at::Tensor>& mixes,
                                          MixForm form, const Sequences& sequences,
                                          const std::optional<at::Tensor>& changes = std::nullopt) {
  const at::Tensor rows = at::cat(mixes).squeeze(1), weights = form == MixForm::of_token ? 1 - rows : rows;
  const at::ScalarType dtype = product_dtype(x);  // which the mixed rows go to: rounded here once, not in each of them
  const auto added = changes ? std::optional(changes->to(dtype)) : std::nullopt;
  auto [mixed, last_after] =
      ops::mix_tokens(x.to(dtype), sequences.read(last).to(dtype), weights, added, sequences.cu_seqlens);
  sequences.write(last, last_after.to(x.scalar_type()));
  return mixed.unbind();
}

}  // namespace wkv::models
