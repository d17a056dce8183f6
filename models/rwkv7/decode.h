// RWKV-7's blocks for one token of each of a few sequences, by the fused step of wkv/rwkv7_decode.h.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <vector>

#include "rwkv7/blocks.h"
#include "wkv/models/state.h"

namespace wkv::models {

// x [B, 1, C], the normalised embeddings, through all blocks; the pool's rows `slots` are stepped in place. None where
// the step does not serve: on another device, for other dtypes and sizes than it knows, or with more rows.
std::optional<at::Tensor> decode_blocks(const std::vector<std::shared_ptr<RWKV7Block>>& blocks, const at::Tensor& x,
                                        State& pool, const at::Tensor& slots);

}  // namespace wkv::models
