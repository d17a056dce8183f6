// Exact search among embeddings, by cosine similarity.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "wkv/export.h"

namespace wkv::zoo {

struct Neighbours {
  at::Tensor scores;   // fp32 [Q, K], cosine similarities, descending
  at::Tensor indices;  // int64 [Q, K], rows of the index
};

// The K rows of `index` [n, C] nearest to each of `queries` [Q, C], K = min(top, n); neither need be normalised. Every
// row is compared, block by block: memory beside the index is bounded. Throws wkv::Error for other shapes and for a top
// below 1.
WKV_API Neighbours search(const at::Tensor& index, const at::Tensor& queries, int64_t top);

}  // namespace wkv::zoo
