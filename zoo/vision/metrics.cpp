// Scores from the positions of the right answers, counted rather than sorted.
#include "wkv/zoo/metrics.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "vision/unit_rows.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr int64_t kBlockOfScores = int64_t{1} << 22;  // 16 MB

void require_matrix(const at::Tensor& x, const char* name) {
  if (x.dim() != 2 || x.size(0) == 0 || x.size(1) == 0 || !x.is_floating_point()) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("{}: expected a floating-point matrix with rows and columns, got {} [{}]", name,
                            c10::toString(x.scalar_type()), fmt::join(x.sizes(), ", ")));
  }
}

// Indices below `limit`, one for each of n rows.
void require_indices(const at::Tensor& x, const char* name, int64_t n, int64_t limit) {
  if (x.dim() != 1 || x.size(0) != n || x.scalar_type() != at::kLong) {
    throw Error(ErrorCode::shape_mismatch, fmt::format("{}: expected int64 [{}], got {} [{}]", name, n,
                                                       c10::toString(x.scalar_type()), fmt::join(x.sizes(), ", ")));
  }
  if (x.min().item<int64_t>() < 0 || x.max().item<int64_t>() >= limit) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: expected 0 to {}, got {} to {}", name, limit - 1,
                                                         x.min().item<int64_t>(), x.max().item<int64_t>()));
  }
}

// Where each row's target [n] stands when the row of scores [n, m] is sorted, the lower of equal columns first. What is
// not a number is last.
at::Tensor positions(const at::Tensor& scores, const at::Tensor& targets) {
  const at::Tensor s = scores.nan_to_num(-std::numeric_limits<double>::infinity());
  const at::Tensor target = targets.unsqueeze(1), own = s.gather(1, target);
  const at::Tensor before = at::arange(s.size(1)).unsqueeze(0) < target;
  return ((s > own) | ((s == own) & before)).sum(1);
}

double share_below(const at::Tensor& position, int64_t limit) {
  return (position < limit).to(at::kDouble).mean().item<double>();
}

Recall recall_of(const at::Tensor& position) {
  return {share_below(position, 1), share_below(position, 5), share_below(position, 10)};
}

// positions() of `targets_of(scores, first row)` in unit(queries) @ unit(answers)^T, block by block.
template <typename TargetsOf>
at::Tensor positions_of(const at::Tensor& queries, const at::Tensor& answers, const TargetsOf& targets_of) {
  const at::Tensor q = unit_rows(queries), a = unit_rows(answers).t();
  const int64_t block = std::max<int64_t>(kBlockOfScores / a.size(1), 1);
  std::vector<at::Tensor> blocks;
  for (int64_t first = 0; first < q.size(0); first += block) {
    const at::Tensor scores = at::mm(q.slice(0, first, std::min(first + block, q.size(0))), a);
    blocks.push_back(positions(scores, targets_of(scores, first)));
  }
  return at::cat(blocks);
}

}  // namespace

ClassificationScore score_classification(const at::Tensor& logits, const at::Tensor& targets) {
  require_matrix(logits, "logits");
  const int64_t n = logits.size(0), classes = logits.size(1);
  require_indices(targets, "targets", n, classes);
  const at::Tensor position = positions(logits, targets);
  const at::Tensor images = targets.bincount({}, classes).to(at::kDouble);
  const at::Tensor hits = targets.bincount((position < 1).to(at::kDouble), classes);
  const at::Tensor present = images > 0;
  return {.images = n,
          .top1 = share_below(position, 1),
          .top5 = share_below(position, 5),
          .mean_per_class = (hits / images).masked_select(present).mean().item<double>()};
}

RetrievalScore score_retrieval(const at::Tensor& images, const at::Tensor& texts, const at::Tensor& image_of_text) {
  require_matrix(images, "images");
  require_matrix(texts, "texts");
  if (images.size(1) != texts.size(1)) {
    throw Error(
        ErrorCode::shape_mismatch,
        fmt::format("images and texts: expected vectors of one length, got {} and {}", images.size(1), texts.size(1)));
  }
  const int64_t n = images.size(0), m = texts.size(0);
  require_indices(image_of_text, "image_of_text", m, n);
  const at::Tensor captions = image_of_text.bincount({}, n);
  if (captions.min().item<int64_t>() == 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("image_of_text: image {} has no text", captions.argmin().item<int64_t>()));
  }
  const at::NoGradGuard no_grad;
  const at::Tensor places = at::arange(m).unsqueeze(0);
  // Of an image's captions the one that comes first.
  const auto best_caption = [&](const at::Tensor& scores, int64_t first) {
    const at::Tensor own = image_of_text.unsqueeze(0) == at::arange(first, first + scores.size(0)).unsqueeze(1);
    const at::Tensor of_own = scores.masked_fill(~own, -std::numeric_limits<double>::infinity());
    return at::where(own & (of_own == of_own.amax(1, true)), places, m - 1).amin(1);
  };
  const auto its_image = [&](const at::Tensor& scores, int64_t first) {
    return image_of_text.slice(0, first, first + scores.size(0));
  };
  return {.text_to_image = recall_of(positions_of(texts, images, its_image)),
          .image_to_text = recall_of(positions_of(images, texts, best_caption))};
}

}  // namespace wkv::zoo
