// RWKV-4's blocks without gradients, by the kernels of wkv/rwkv4_blocks.h.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <vector>

#include "rwkv4/blocks.h"
#include "wkv/models/state.h"

namespace wkv::models {

// x [B, 1, C], the normalised embeddings, through all blocks; the pool's rows `slots` are stepped in place. None where
// the kernels do not serve: on another device, for other dtypes and sizes than they know, for blocks of other parts
// than a time mix and a channel mix, or with more than kMostDecodeRows rows.
std::optional<at::Tensor> decode_blocks(const std::vector<std::shared_ptr<RWKV4Block>>& blocks, const at::Tensor& x,
                                        State& pool, const at::Tensor& slots);

}  // namespace wkv::models
