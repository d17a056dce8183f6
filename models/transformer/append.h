// Pasts that grow: a token's keys and values are written behind those before it, and nothing is copied for it.
#pragma once
#include <ATen/core/Tensor.h>

namespace wkv::models {

// past [B, P, ...], then rows [B, T, ...], in the rows' dtype: [B, P + T, ...]. Without gradients the result lies in
// memory with room for half as many rows again, where its own successor is written, so that n rows in any pieces cost
// O(n) in all. `past` stays what it is, and may have several successors: only the first one shares its memory. What
// is returned must not be written to.
at::Tensor append(const at::Tensor& past, const at::Tensor& rows);

}  // namespace wkv::models
