// RWKV-7's blocks without gradients, by the kernels of wkv/rwkv7_blocks.h. Each function returns none where they do not
// serve: on another device, for other dtypes and sizes than they know, or where gradients are wanted.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <vector>

#include "rwkv7/blocks.h"
#include "wkv/models/state.h"
#include "wkv/rwkv7_blocks.h"

namespace wkv::models {

std::optional<rwkv7::ParameterType> rwkv7_parameter_type(at::ScalarType dtype);

// x [B, 1, C], the normalised embeddings, through all blocks; the pool's rows `slots` are stepped in place. Up to
// rwkv7::kMostDecodeRows rows.
std::optional<at::Tensor> decode_blocks(const std::vector<std::shared_ptr<RWKV7Block>>& blocks, const at::Tensor& x,
                                        State& pool, const at::Tensor& slots);

// x [B, T, C] through all blocks; the state [B, ...] is replaced.
std::optional<at::Tensor> read_blocks(const std::vector<std::shared_ptr<RWKV7Block>>& blocks, const at::Tensor& x,
                                      State& state);

}  // namespace wkv::models
