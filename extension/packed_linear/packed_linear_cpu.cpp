// _packed_linear on the CPU: checks, outputs, and the division of the blocks among threads. The arithmetic is in
// packed_linear_multiply_isa.h. An output has the same bits for any number of threads and of rows of x.
#include <algorithm>
#include <optional>
#include <vector>

#include "core/scratch.h"
#include "core/stable.h"
#include "packed_linear/packed_linear_check.h"

namespace wkv {
namespace {

// Rows of x that are multiplied at once: 1, 2, 4 or 8. Those that there are not are zero.
int64_t inputs_together(int64_t rows) {
  int64_t inputs = 1;
  while (inputs < rows && inputs < kPackedInputs) inputs *= 2;
  return inputs;
}

// The last block, where it has fewer rows than the others, with zeros for the rest.
void widen_block(const char* from, int64_t rows, int64_t lines, char* to) {
  std::memset(to, 0, static_cast<size_t>(lines * kPackedRows * 4));
  for (int64_t line = 0; line < lines; ++line) {
    std::memcpy(to + line * kPackedRows * 4, from + line * rows * 4, static_cast<size_t>(rows * 4));
  }
}

Tensor packed_linear_cpu(Tensor x, Tensor packed, std::optional<Tensor> bias) {
  const char* const op = "_packed_linear";
  check_packed_linear(op, x, packed, bias);
  x = as_contiguous(x);
  packed = as_contiguous(packed);
  const int64_t outputs = packed.size(0) - 1, row_bytes = packed.size(1);
  const auto* const bytes = static_cast<const char*>(packed.const_data_ptr());
  const PackedHeader header = packed_header(op, bytes + outputs * row_bytes, outputs, row_bytes);
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
  if (shape.back() != header.columns) {
    fail(op, ": x must have shape [..., K] with K = ", header.columns, " as packed has, got ", to_text(shape));
  }
  shape.back() = outputs;
  Tensor y = new_empty(x, shape);
  if (y.numel() == 0) return y;

  const PackedLinearKernels& kernels = packed_linear_kernels_here();
  const int64_t inputs = y.numel() / outputs, together = inputs_together(inputs),
                stride = (header.columns + kPackedColumns - 1) / kPackedColumns * kPackedColumns,
                padded_inputs = (inputs + together - 1) / together * together, groups = stride / kPackedGroup;
  const Scratch row_scratch(padded_inputs * stride * 4),
      group_scratch(padded_inputs * groups * static_cast<int64_t>(sizeof(PackedGroup))),
      bias_scratch((outputs + kPackedRows) * 4);
  auto* const x_rows = reinterpret_cast<float*>(row_scratch.get());
  auto* const x_groups = reinterpret_cast<PackedGroup*>(group_scratch.get());
  std::memset(x_rows, 0, static_cast<size_t>(padded_inputs * stride * 4));
  const auto load_row = kernels.load_row[static_cast<int>(io_type(x))];
  for (int64_t i = 0; i < inputs; ++i) {
    load_row(x.const_data_ptr(), i * header.columns, header.columns, x_rows + i * stride);
  }
  kernels.quantize(x_rows, padded_inputs * stride, x_groups);
  auto* const biases = reinterpret_cast<float*>(bias_scratch.get());
  if (bias) {
    const Tensor values = as_contiguous(*bias);
    kernels.load_row[static_cast<int>(io_type(values))](values.const_data_ptr(), 0, outputs, biases);
  }

  const int64_t lines = packed_lines(header.format, header.columns), block_bytes = kPackedRows * row_bytes,
                blocks = (outputs + kPackedRows - 1) / kPackedRows, whole = outputs / kPackedRows;
  const Scratch last_block(block_bytes);
  if (whole < blocks) widen_block(bytes + whole * block_bytes, outputs % kPackedRows, lines, last_block.get());

  const auto multiply = kernels.multiply[static_cast<int>(header.format)];
  const auto store_row = kernels.store_row[static_cast<int>(io_type(y))];
  void* const y_rows = y.mutable_data_ptr();
  const auto multiply_blocks = [&](const PackedBlocks& part, int64_t first_output) {
    const int64_t count = std::min(part.count * kPackedRows, outputs - first_output);
    float sums[kPackedInputs * kPackedSums];
    for (int64_t i = 0; i < inputs; i += together) {
      multiply(part, {x_groups + i * groups, together, groups}, sums);
      for (int64_t j = 0; j < std::min(together, inputs - i); ++j) {
        float* const row = sums + j * kPackedSums;
        for (int64_t n = 0; bias && n < count; ++n) row[n] += biases[first_output + n];
        store_row(row, count, y_rows, (i + j) * outputs + first_output);
      }
    }
  };
  // Blocks side by side are one piece of work, the last one with fewer rows another.
  const int64_t pieces = (whole + kPackedBlocks - 1) / kPackedBlocks;
  constexpr int64_t kWorthwhile = 1 << 17;  // bytes of weights to give to a thread at least: some 10 microseconds
  const int64_t piece_work = kPackedBlocks * block_bytes * (padded_inputs / together);
  parallel_for(0, pieces + (blocks - whole), kWorthwhile / piece_work + 1, [&](int64_t first, int64_t last) {
    for (int64_t piece = first; piece < last; ++piece) {
      if (piece == pieces) {
        multiply_blocks({last_block.get(), 1, block_bytes, lines}, whole * kPackedRows);
      } else {
        const int64_t block = piece * kPackedBlocks, count = std::min<int64_t>(kPackedBlocks, whole - block);
        multiply_blocks({bytes + block * block_bytes, count, block_bytes, lines}, block * kPackedRows);
      }
    }
  });
  return y;
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) { m.impl("_packed_linear", TORCH_BOX(&wkv::packed_linear_cpu)); }
