// search: blocks of the index are multiplied with all queries, and the best so far are kept.
#include "wkv/zoo/retrieval.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "vision/unit_rows.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr int64_t kBlockScores = int64_t{1} << 22;  // 16 MB

}  // namespace

Neighbours search(const at::Tensor& index, const at::Tensor& queries, int64_t top) {
  if (index.dim() != 2 || queries.dim() != 2 || index.size(1) != queries.size(1)) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("search: expected an index [n, C] and queries [Q, C], got [{}] and [{}]",
                            fmt::join(index.sizes(), ", "), fmt::join(queries.sizes(), ", ")));
  }
  if (!index.is_floating_point() || !queries.is_floating_point()) {
    throw Error(ErrorCode::invalid_argument, "search: expected an index and queries of a floating-point dtype");
  }
  if (top < 1) throw Error(ErrorCode::invalid_argument, fmt::format("search: top must be at least 1, got {}", top));
  const at::NoGradGuard no_grad;
  const at::Tensor wanted = unit_rows(queries).t();
  const int64_t count = queries.size(0);
  const int64_t block = std::max<int64_t>(kBlockScores / std::max<int64_t>(count, 1), 1024);
  Neighbours best{at::empty({count, 0}, at::kFloat), at::empty({count, 0}, at::kLong)};
  for (int64_t first = 0; first < index.size(0); first += block) {
    const at::Tensor rows = index.slice(0, first, std::min(first + block, index.size(0)));
    const at::Tensor scores = at::mm(unit_rows(rows), wanted).t();
    const auto [block_scores, block_indices] = scores.topk(std::min(top, rows.size(0)));
    const at::Tensor candidates = at::cat({best.scores, block_scores}, 1);
    const at::Tensor indices = at::cat({best.indices, block_indices + first}, 1);
    const auto [kept, places] = candidates.topk(std::min(top, candidates.size(1)));
    best = {kept, indices.gather(1, places)};
  }
  return best;
}

}  // namespace wkv::zoo
