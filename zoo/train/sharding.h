// The elements of a list of tensors divided among ranks, and brought together again: what each rank of a sharded
// optimizer is responsible for.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "train/process_group.h"

namespace wkv::zoo {

// Elements begin to end of a tensor read as one row.
struct ElementRange {
  int64_t begin = 0, end = 0;
  at::Tensor of(const at::Tensor& tensor) const { return tensor.view(-1).narrow(0, begin, end - begin); }
  bool operator==(const ElementRange&) const = default;
};

// For each tensor, by its number of elements, the part of rank `index` of `count`: the tensors one after another are
// cut into `count` pieces of the same length, to one element.
WKV_API std::vector<ElementRange> own_ranges(const std::vector<int64_t>& sizes, int64_t index, int64_t count);

// Every rank has its own part of these contiguous tensors, of one dtype; now all ranks have all.
WKV_API void share_parts(const std::vector<at::Tensor>& tensors, ProcessGroup& group);

// The whole tensors on rank 0, shaped as `like`, of parts that lie in tensors of their own; nothing on other ranks.
WKV_API std::vector<at::Tensor> gather_parts(const std::vector<at::Tensor>& parts, const std::vector<at::Tensor>& like,
                                             ProcessGroup& group);

// The rows of every `every`-th rank, one after another, on rank 0; undefined on other ranks. All have as many.
WKV_API at::Tensor gather_rows(const at::Tensor& rows, ProcessGroup& group, int64_t every);

}  // namespace wkv::zoo
