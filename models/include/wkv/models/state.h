// The recurrent state of a language model after some tokens: a value that can be kept, cut, joined and resumed, and of
// constant size but for two variants of RWKV-4.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>
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

  // Entries named "past_..." [B, P, ...] hold something of every token so far, the newest last; rows of zeros at the
  // beginning stand for nothing.
  static bool grows(std::string_view entry_name) { return entry_name.starts_with("past_"); }

  bool empty() const { return entries.empty(); }
  int64_t batch() const { return empty() ? 0 : entries.front().tensor.size(0); }
  State clone() const;
  State detach() const;
  State to(at::Device device) const;
  // The rows of these indices, in this order; an index may repeat. Throws wkv::Error for one out of range.
  State select(const std::vector<int64_t>& rows) const;
  // The states of several batches as one. Throws wkv::Error when their entries differ.
  static State cat(const std::vector<State>& states);
  // Writes the rows of another state over these rows of this one, in place: a sequence enters a pool. Throws wkv::Error
  // for a row out of range or repeated, and for a state whose entries differ.
  void put(const std::vector<int64_t>& rows, const State& state);
};

}  // namespace wkv::models
