// The recurrent state of a language model after some tokens: a value, constant in size, that can be kept, cut, joined
// and resumed.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "wkv/export.h"

namespace wkv::models {

// Named tensors, one row per sequence (dimension 0), in the model's own order. No entries: the empty state before the
// first token.
struct WKV_API State {
  struct Entry {
    std::string name;   // "att_x0", "wkv0", "ffn_x0", "att_x1", ...
    at::Tensor tensor;  // [B, ...]
  };
  std::vector<Entry> entries;

  bool empty() const { return entries.empty(); }
  int64_t batch() const { return empty() ? 0 : entries.front().tensor.size(0); }
  State clone() const;
  State detach() const;
  State to(at::Device device) const;
  // The rows of these indices, in this order; an index may repeat. Throws wkv::Error for one out of range.
  State select(const std::vector<int64_t>& rows) const;
  // The states of several batches as one. Throws wkv::Error when their entries differ.
  static State cat(const std::vector<State>& states);
};

}  // namespace wkv::models
