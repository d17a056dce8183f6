// What _mix_neighbours refuses, for its kernels and meta functions.
#pragma once
#include <optional>

#include "mix_tokens/mix_tokens_check.h"
#include "q_shift/q_shift_check.h"

namespace wkv {

template <class Tensor>
void check_mix_neighbours(const char* op, const Tensor& x, const Tensor& mixes, const std::optional<Tensor>& changes,
                          int64_t height, int64_t width, double gamma, int64_t shift, int64_t head_size,
                          int64_t cls_tokens) {
  check_q_shift(op, x, height, width, gamma, shift, head_size, cls_tokens);
  check_mixes(Check<Tensor>{op}, x, mixes, changes);
}

}  // namespace wkv
