// How a call's tokens divide into segments of `interval` tokens, which may begin and end in other calls. S sequences,
// each at a position of its own, bring N tokens, and E segments end.
#pragma once
#include <ATen/core/Tensor.h>

#include "core/sequences.h"

namespace wkv::models {

struct Segments {
  // positions: int64 [S], the tokens ahead of each sequence's first one; interval: 0 for segments that never end;
  // tokens: of the call. Throws wkv::Error for a negative position.
  Segments(const at::Tensor& positions, int64_t interval, const Sequences& sequences, const at::Tensor& tokens);

  // Sums [E + S, C]: x [N, C] over the segments that end, one sequence's after another's, then over each sequence's
  // open one. begun [S, C]: the sums over what earlier calls brought of each sequence's first segment.
  at::Tensor sums(const at::Tensor& x, const at::Tensor& begun) const;
  // For each token [N, C], the row of the segment before its own: one of `ended` [E, C], or of `last` [S, C], the
  // newest one that earlier calls ended. `ended` is not read where E is 0.
  at::Tensor before_each(const at::Tensor& last, const at::Tensor& ended) const;
  // For each sequence [S, C], the newest row after this call.
  at::Tensor newest(const at::Tensor& last, const at::Tensor& ended) const;

  int64_t ending;     // E
  Sequences mediums;  // one for each segment that ends, packed

 private:
  at::Tensor sum_;     // [N]: the row of sums() that each token is part of
  at::Tensor begun_;   // [S]: the row that goes on from an earlier call
  at::Tensor before_;  // [N]: rows of [last; ended]
};

}  // namespace wkv::models
