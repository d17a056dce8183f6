#include "rrwkv/segments.h"

#include <ATen/Functions.h>
#include <fmt/format.h>

#include "wkv/error.h"

namespace wkv::models {

Segments::Segments(const at::Tensor& positions, int64_t interval, const Sequences& sequences,
                   const at::Tensor& tokens) {
  constexpr int64_t kNever = int64_t{1} << 62;
  const int64_t size = interval > 0 ? interval : kNever;
  const int64_t count = sequences.count;
  const at::Tensor starts = positions.to(at::kCPU, at::kLong).contiguous();
  const auto* start = starts.const_data_ptr<int64_t>();
  const auto length = [&](int64_t s) {
    if (!sequences.cu_seqlens) return tokens.size(1);
    const auto* bounds = sequences.cu_seqlens->const_data_ptr<int64_t>();
    return bounds[s + 1] - bounds[s];
  };

  at::Tensor ends = at::zeros({count + 1}, at::kLong);  // of each sequence's segments among all that end
  auto* end = ends.mutable_data_ptr<int64_t>();
  for (int64_t s = 0; s < count; ++s) {
    if (start[s] < 0) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("rrwkv: the state's pos must be 0 or more, got {}", start[s]));
    }
    end[s + 1] = end[s] + (start[s] % size + length(s)) / size;
  }
  ending = end[count];

  const at::Tensor sum = at::empty({tokens.numel()}, at::kLong), before = at::empty_like(sum),
                   begun = at::empty({count}, at::kLong);
  auto *sum_of = sum.mutable_data_ptr<int64_t>(), *before_of = before.mutable_data_ptr<int64_t>(),
       *begun_of = begun.mutable_data_ptr<int64_t>();
  for (int64_t s = 0; s < count; ++s) {
    const int64_t own = end[s + 1] - end[s];
    // The sequence's segments are 0, 1, ... here; the last of them stays open.
    const auto sum_row = [&](int64_t segment) { return segment < own ? end[s] + segment : ending + s; };
    begun_of[s] = sum_row(0);
    for (int64_t t = 0; t < length(s); ++t) {
      const int64_t segment = (start[s] % size + t) / size;
      *sum_of++ = sum_row(segment);
      *before_of++ = segment == 0 ? s : count + end[s] + segment - 1;
    }
  }
  sum_ = sum.to(tokens.device());
  before_ = before.to(tokens.device());
  begun_ = begun.to(tokens.device());
  mediums = Sequences::packed(ends, tokens.device());
}

at::Tensor Segments::sums(const at::Tensor& x, const at::Tensor& begun) const {
  const at::Tensor values = x.to(begun.scalar_type());
  if (ending == 0) return begun.index_add(0, sum_, values);
  const at::Tensor none = at::zeros({ending + mediums.count, x.size(1)}, begun.options());
  return none.index_copy(0, begun_, begun).index_add(0, sum_, values);
}

at::Tensor Segments::before_each(const at::Tensor& last, const at::Tensor& ended) const {
  return (ending > 0 ? at::cat({last, ended}) : last).index_select(0, before_);
}

at::Tensor Segments::newest(const at::Tensor& last, const at::Tensor& ended) const {
  return at::cat({last, ended}).index_select(0, mediums.last);
}

}  // namespace wkv::models
