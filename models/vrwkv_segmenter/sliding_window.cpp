#include "vrwkv_segmenter/sliding_window.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>

namespace wkv::models {
namespace {

// How many windows lie over each place of a side.
at::Tensor windows_over(int64_t side, int64_t window, const std::vector<int64_t>& starts,
                        const at::TensorOptions& options) {
  at::Tensor count = at::zeros({side}, options);
  for (const int64_t start : starts) count.narrow(0, start, std::min(window, side)).add_(1);
  return count;
}

}  // namespace

std::vector<int64_t> window_starts(int64_t side, int64_t window, int64_t stride) {
  const int64_t last = std::max<int64_t>(side - window, 0);
  std::vector<int64_t> starts;
  for (int64_t start = 0; start < last; start += stride) starts.push_back(start);
  starts.push_back(last);
  return starts;
}

at::Tensor over_windows(const at::Tensor& images, int64_t window, int64_t stride,
                        const std::function<at::Tensor(const at::Tensor&)>& f) {
  const int64_t height = images.size(2), width = images.size(3);
  const auto rows = window_starts(height, window, stride), columns = window_starts(width, window, stride);
  at::Tensor sum;
  for (const int64_t row : rows) {
    for (const int64_t column : columns) {
      const auto part = [&](const at::Tensor& t) {
        return t.narrow(2, row, std::min(window, height)).narrow(3, column, std::min(window, width));
      };
      const at::Tensor result = f(part(images));
      if (!sum.defined()) sum = at::zeros({images.size(0), result.size(1), height, width}, result.options());
      part(sum).add_(result);
    }
  }
  const at::Tensor over_rows = windows_over(height, window, rows, sum.options()).view({-1, 1});
  return sum / (over_rows * windows_over(width, window, columns, sum.options()));
}

}  // namespace wkv::models
