// Gradients of parameters that all rows of a batch share: sums over groups of rows, whose number and order have nothing
// to do with the threads.
#pragma once
#include <algorithm>
#include <array>
#include <cstring>

#include "core/stable.h"

namespace wkv {

class ParameterSums {
 public:
  // Zeros, in the accumulation type of x.
  ParameterSums(const Tensor& x, int64_t rows, int64_t parameters, int64_t channels)
      : groups(std::min<int64_t>(rows, 32)),
        rows_(rows),
        sums_(new_empty(x, {parameters, groups, channels}, state_type(x))),
        data_(static_cast<char*>(sums_.mutable_data_ptr())),
        bytes_(channels * element_bytes(sums_)) {
    if (sums_.numel() > 0) std::memset(data_, 0, static_cast<size_t>(parameters * groups * bytes_));
  }
  // The rows of a group are first(group), ..., first(group + 1) - 1.
  int64_t first(int64_t group) const { return group * rows_ / groups; }
  // The sums of a group, [channels]; those of the next group follow.
  void* at(int64_t parameter, int64_t group) const { return data_ + (parameter * groups + group) * bytes_; }

  // The sum over the groups, of the shape and dtype of `like`.
  Tensor total(int64_t parameter, const Tensor& like) const {
    const std::array<int64_t, 1> over{0};
    const Tensor sum = torch::stable::sum(torch::stable::select(sums_, 0, parameter), over);
    return torch::stable::view(torch::stable::to(sum, like.scalar_type()), like.sizes());
  }

  const int64_t groups;

 private:
  int64_t rows_;
  Tensor sums_;
  char* data_;
  int64_t bytes_;
};

}  // namespace wkv
