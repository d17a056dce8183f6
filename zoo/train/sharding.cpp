#include "train/sharding.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <numeric>

namespace wkv::zoo {
namespace {

std::vector<ElementRange> ranges_in(const std::vector<at::Tensor>& tensors, int64_t rank, const ProcessGroup& group) {
  std::vector<int64_t> sizes;
  for (const auto& tensor : tensors) sizes.push_back(tensor.numel());
  return own_ranges(sizes, rank, group.size());
}

int64_t total(const std::vector<ElementRange>& ranges) {
  return std::accumulate(ranges.begin(), ranges.end(), int64_t{0},
                         [](int64_t sum, const ElementRange& range) { return sum + range.end - range.begin; });
}

void unpack(const at::Tensor& packed, const std::vector<ElementRange>& ranges, const std::vector<at::Tensor>& tensors) {
  int64_t offset = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const int64_t length = ranges[i].end - ranges[i].begin;
    ranges[i].of(tensors[i]).copy_(packed.narrow(0, offset, length));
    offset += length;
  }
}

}  // namespace

std::vector<ElementRange> own_ranges(const std::vector<int64_t>& sizes, int64_t index, int64_t count) {
  const int64_t all = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  const int64_t first = all * index / count, last = all * (index + 1) / count;
  std::vector<ElementRange> ranges;
  int64_t before = 0;
  for (const int64_t size : sizes) {
    ranges.push_back({std::clamp(first - before, int64_t{0}, size), std::clamp(last - before, int64_t{0}, size)});
    before += size;
  }
  return ranges;
}

void share_parts(const std::vector<at::Tensor>& tensors, ProcessGroup& group) {
  if (tensors.empty()) return;
  const at::NoGradGuard no_grad;
  for (int64_t rank = 0; rank < group.size(); ++rank) {
    const auto ranges = ranges_in(tensors, rank, group);
    if (total(ranges) == 0) continue;
    at::Tensor packed;
    if (rank == group.rank()) {
      std::vector<at::Tensor> own;
      for (size_t i = 0; i < tensors.size(); ++i) own.push_back(ranges[i].of(tensors[i]));
      packed = at::cat(own);
    } else {
      packed = at::empty({total(ranges)}, tensors.front().options());
    }
    group.broadcast(packed, rank).wait();
    if (rank != group.rank()) unpack(packed, ranges, tensors);
  }
}

std::vector<at::Tensor> gather_parts(const std::vector<at::Tensor>& parts, const std::vector<at::Tensor>& like,
                                     ProcessGroup& group) {
  if (like.empty()) return {};
  const at::NoGradGuard no_grad;
  const at::Tensor packed = at::cat(parts);
  if (group.rank() != 0) {
    if (packed.numel() > 0) group.send(packed, 0).wait();
    return {};
  }
  std::vector<at::Tensor> whole;
  for (const auto& tensor : like) whole.push_back(at::empty_like(tensor));
  unpack(packed, ranges_in(like, 0, group), whole);
  for (int64_t rank = 1; rank < group.size(); ++rank) {
    const auto ranges = ranges_in(like, rank, group);
    if (total(ranges) == 0) continue;
    const at::Tensor received = at::empty({total(ranges)}, packed.options());
    group.receive(received, rank).wait();
    unpack(received, ranges, whole);
  }
  return whole;
}

at::Tensor gather_rows(const at::Tensor& rows, ProcessGroup& group, int64_t every) {
  if (group.rank() % every != 0) return {};
  if (group.rank() != 0) {
    group.send(rows.contiguous(), 0).wait();
    return {};
  }
  std::vector<at::Tensor> all{rows};
  for (int64_t rank = every; rank < group.size(); rank += every) {
    all.push_back(at::empty_like(rows, at::MemoryFormat::Contiguous));
    group.receive(all.back(), rank).wait();
  }
  return at::cat(all);
}

}  // namespace wkv::zoo
