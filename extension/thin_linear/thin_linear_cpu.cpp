// _thin_linear on the CPU: checks, outputs, and the division of the weights' rows among threads. An output has the same
// bits for any number of threads and of rows of x.
#include <algorithm>
#include <optional>
#include <vector>

#include "core/scratch.h"
#include "core/stable.h"
#include "thin_linear/thin_linear.h"
#include "thin_linear/thin_linear_check.h"

namespace wkv {
namespace {

Tensor thin_linear_cpu(Tensor x, Tensor weight, std::optional<Tensor> bias) {
  const char* const op = "_thin_linear";
  check_thin_linear(op, x, weight, bias);
  x = as_contiguous(x);
  weight = as_contiguous(weight);
  const int64_t outputs = weight.size(0), columns = weight.size(1);
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
  shape.back() = outputs;
  Tensor y = new_empty(x, shape);
  if (y.numel() == 0) return y;

  const auto kernels_of = [](const Tensor& tensor) { return thin_kernels().of[static_cast<int>(io_type(tensor))]; };
  const int64_t inputs = y.numel() / outputs, together = thin_inputs(inputs),
                stride = (columns + kThinColumns - 1) / kThinColumns * kThinColumns,
                padded_inputs = (inputs + together - 1) / together * together;
  // What lies behind the rows is read, to the end of a vector, and written nowhere.
  const Scratch x_scratch(padded_inputs * stride * 4), y_scratch((padded_inputs * outputs + kThinColumns) * 4),
      bias_scratch((outputs + kThinColumns) * 4);
  auto* const x_rows = reinterpret_cast<float*>(x_scratch.get());
  auto* const y_rows = reinterpret_cast<float*>(y_scratch.get());
  auto* const biases = reinterpret_cast<float*>(bias_scratch.get());
  std::fill(x_rows, x_rows + padded_inputs * stride, 0.0f);
  const ThinKernels kernels = kernels_of(x);
  for (int64_t i = 0; i < inputs; ++i) {
    kernels.load_row(x.const_data_ptr(), i * columns, columns, x_rows + i * stride);
  }
  if (bias) {
    const Tensor values = as_contiguous(*bias);
    kernels_of(values).load_row(values.const_data_ptr(), 0, outputs, biases);
  }

  const auto multiply = kernels_of(weight).multiply;
  const void* const weights = weight.const_data_ptr();
  void* const y_data = y.mutable_data_ptr();
  constexpr int64_t kWorthwhile = 1 << 17;  // bytes of weights to give to a thread at least: some 10 microseconds
  const int64_t row_work = std::max<int64_t>(1, columns * element_bytes(weight) * (padded_inputs / together));
  parallel_for(0, outputs, kWorthwhile / row_work + 1, [&](int64_t first, int64_t last) {
    // Of more rows of x than a kernel takes, the later ones find the weights in the cache.
    constexpr int64_t kRowsInCache = 64;
    const int64_t part = together < inputs ? kRowsInCache : last - first;
    for (int64_t n = first; n < last; n += part) {
      for (int64_t i = 0; i < inputs; i += together) {
        multiply(weights, columns, n, std::min(n + part, last), {x_rows + i * stride, together, stride},
                 y_rows + i * outputs, outputs);
      }
    }
    for (int64_t i = 0; i < inputs; ++i) {
      float* const row = y_rows + i * outputs;
      for (int64_t n = first; bias && n < last; ++n) row[n] += biases[n];
      kernels.store_row(row + first, last - first, y_data, i * outputs + first);
    }
  });
  return y;
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) { m.impl("_thin_linear", TORCH_BOX(&wkv::thin_linear_cpu)); }
