// _packed_linear and _unpack_linear on the GPU; see packed_linear.h for the layout.
//
//   y[i, n] = sum over k of weight[n, k] x[i, k] + bias[n]
//
// The weights become fp32 in registers, x stays as it is, and sums are fp32. (The CPU rounds x to 8 bits: its results
// differ by that.) A thread block takes a block of 16 rows of the matrix. A quarter of a line, which is four rows'
// dwords of the same columns, is a lane's 16 bytes; eight lines are a warp's step, and the steps are shared among the
// warps. A sum's order depends on the columns alone, so that a row of x has the same result whatever is beside it.
//
// The header lies on the device, and to refuse a matrix for it would be to wait for the stream: a matrix whose header
// is not what its sizes tell gives NaN instead.
// Cost: the bytes of the matrix, for each kInputs rows of x.
#pragma once
#include "core/cuda/decay.cuh"
#include "core/cuda/vector.cuh"
#include "packed_linear/packed_linear.h"
//
#include <cstddef>
#include <limits>

namespace wkv::cuda {

// A packed matrix on the device, aligned to 16 bytes.
struct PackedMatrix {
  static constexpr int kHeaderDwords = sizeof(PackedHeader) / 4, kFormatDword = 2;
  static_assert(offsetof(PackedHeader, format) == 4 * kFormatDword);

  const char* bytes;
  int64_t rows, row_bytes, columns;
  uint32_t header[kHeaderDwords];  // as it should be
  bool other_format_fits;          // its rows would have as many bytes
  float int4_weights[16];

  __device__ uint32_t header_dword(int i) const { return dword(rows * row_bytes + 4 * i); }
  // It is in the other format, which fits as well: another launch's.
  __device__ bool is_other() const {
    return other_format_fits && header_dword(kFormatDword) == 1 - header[kFormatDword] &&
           header_dword(kFormatDword + 1) == 0;
  }
  // The header is as it should be: for all lanes of a warp, each of which has read its dword of it before.
  __device__ static int own_dword() { return static_cast<int>(threadIdx.x % kHeaderDwords); }
  __device__ bool is_sound(uint32_t dword_read) const { return !__any_sync(~0u, dword_read != header[own_dword()]); }

  // At the beginning of the shared memory, where lanes can look up different ones at once.
  __device__ const float* share_int4_weights() const {
    auto* const shared = reinterpret_cast<float*>(shared_memory());
    if (threadIdx.x < 16) shared[threadIdx.x] = int4_weights[threadIdx.x];
    __syncthreads();
    return shared;
  }

  __device__ int64_t rows_of_block(int64_t block) const {
    const int64_t left = rows - block * kPackedRows;
    return left < kPackedRows ? left : kPackedRows;
  }
  // Of a row of a block.
  __device__ uint32_t get(int64_t block, int64_t line, int64_t row) const {
    return dword(block * kPackedRows * row_bytes + (line * rows_of_block(block) + row) * 4);
  }
  // Of the rows 4 * quarter ... 4 * quarter + 3; zeros for those that there are not.
  __device__ Vector<uint32_t, 4> get_quarter(int64_t block, int64_t line, int64_t quarter) const {
    if (rows_of_block(block) == kPackedRows) {
      const char* const lines = bytes + block * kPackedRows * row_bytes;
      return load_vector<4>(reinterpret_cast<const uint32_t*>(lines) + line * kPackedRows + 4 * quarter);
    }
    Vector<uint32_t, 4> dwords = {};
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      if (4 * quarter + r < rows_of_block(block)) dwords.value[r] = get(block, line, 4 * quarter + r);
    }
    return dwords;
  }

 private:
  __device__ uint32_t dword(int64_t offset) const { return *reinterpret_cast<const uint32_t*>(bytes + offset); }
};

// How a format's lines follow each other: `step` is eight lines of weights.
template <PackedFormat format>
struct PackedLines;

template <>
struct PackedLines<PackedFormat::kInt8> {
  static constexpr int kColumns = 4;  // of a dword
  __device__ static int64_t line(int64_t step, int64_t i) { return 8 * step + i; }
  __device__ static int64_t last_line(int64_t columns) { return (columns + 3) / 4; }  // the scales of the rows

  // Times the row's scale: the weights.
  __device__ static void unpack(uint32_t dword, const float* /*int4_weights*/, float (&weights)[kColumns]) {
    // The last byte of the float 2^23 + byte is the byte: cheaper than a conversion.
    constexpr uint32_t k2To23 = 0x4b000000, kLastByteReplaced = 0x7650;
    const uint32_t biased = dword ^ 0x80808080u;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      weights[c] = __uint_as_float(__byte_perm(biased, k2To23, kLastByteReplaced + c)) - float{(1 << 23) + 128};
    }
  }
};

template <>
struct PackedLines<PackedFormat::kInt4> {
  static constexpr int kColumns = 8;
  __device__ static int64_t line(int64_t step, int64_t i) { return step * kInt4Lines + 1 + i; }
  __device__ static int64_t scale_line(int64_t step) { return step * kInt4Lines; }
  // Of the columns of line i of a step, from the dword of its line of scales.
  __device__ static float scale(uint32_t dword, int64_t i) {
    return __uint_as_float(i < 4 ? dword << 16 : dword & 0xffff0000u);
  }

  // Times the group's scale: the weights.
  __device__ static void unpack(uint32_t dword, const float* int4_weights, float (&weights)[kColumns]) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) weights[c] = int4_weights[dword >> (c % 4 * 8 + c / 4 * 4) & 15u];
  }
};

struct PackedLinearCall {
  PackedMatrix matrix;
  int64_t inputs, stride;  // rows of x; their columns, padded by zeros to a multiple of 4
  const void* bias;        // [rows]; null: zeros
  bool float_bias;         // fp32, whatever the dtype of x
};

inline constexpr int kPackedThreads = 256;

inline int64_t packed_linear_blocks(const PackedLinearCall& call, int together) {
  return (call.matrix.rows + kPackedRows - 1) / kPackedRows * ((call.inputs + together - 1) / together);
}
inline int64_t packed_linear_shared(int together) {
  return (16 + kPackedThreads / 32 * kPackedRows * together) * int64_t{sizeof(float)};
}

// x: [inputs, stride], y: [inputs, rows].
template <PackedFormat format, class x_t, int kInputs>
__global__ void packed_linear_kernel(PackedLinearCall call, const x_t* __restrict__ x, x_t* __restrict__ y) {
  using Lines = PackedLines<format>;
  const PackedMatrix& matrix = call.matrix;
  if (matrix.is_other()) return;
  const float* const int4_weights = matrix.share_int4_weights();
  const uint32_t header_dword = matrix.header_dword(matrix.own_dword());

  // Thread blocks that read the same weights are neighbours.
  const int64_t groups = (call.inputs + kInputs - 1) / kInputs, first_input = blockIdx.x % groups * kInputs,
                block = blockIdx.x / groups, inputs_left = call.inputs - first_input;
  const int warp = threadIdx.x / 32, warps = kPackedThreads / 32, lane = threadIdx.x % 32, quarter = lane % 4,
            line = lane / 4;
  float sum[4][kInputs] = {};
#pragma unroll(kInputs == 1 ? 2 : 1)
  for (int64_t step = warp; step * 8 * Lines::kColumns < matrix.columns; step += warps) {
    const int64_t column = (step * 8 + line) * Lines::kColumns;
    if (column >= call.stride) continue;
    const auto dwords = matrix.get_quarter(block, Lines::line(step, line), quarter);
    float weights[4][Lines::kColumns];
#pragma unroll
    for (int r = 0; r < 4; ++r) Lines::unpack(dwords.value[r], int4_weights, weights[r]);
    if constexpr (format == PackedFormat::kInt4) {
      const auto scales = matrix.get_quarter(block, Lines::scale_line(step), quarter);
#pragma unroll
      for (int r = 0; r < 4; ++r) {
#pragma unroll
        for (float& weight : weights[r]) weight *= Lines::scale(scales.value[r], line);
      }
    }
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
      if (i >= inputs_left) continue;
#pragma unroll
      for (int four = 0; four < Lines::kColumns; four += 4) {
        if (column + four >= call.stride) continue;
        const auto values = load_vector<4>(x + (first_input + i) * call.stride + column + four);
#pragma unroll
        for (int c = 0; c < 4; ++c) {
#pragma unroll
          for (int r = 0; r < 4; ++r) sum[r][i] += weights[r][four + c] * static_cast<float>(values.value[c]);
        }
      }
    }
  }

  auto* const sums = reinterpret_cast<float*>(shared_memory()) + 16;  // [warps][kPackedRows][kInputs]
#pragma unroll
  for (int r = 0; r < 4; ++r) {
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
      if (i >= inputs_left) continue;
      for (int lanes = 16; lanes >= 4; lanes /= 2) sum[r][i] += __shfl_xor_sync(~0u, sum[r][i], lanes);
      if (line == 0) sums[(warp * kPackedRows + 4 * quarter + r) * kInputs + i] = sum[r][i];
    }
  }
  __syncthreads();
  const bool sound = matrix.is_sound(header_dword);
  const int row = threadIdx.x / kInputs, i = threadIdx.x % kInputs;
  const int64_t output = block * kPackedRows + row;
  if (row >= kPackedRows || output >= matrix.rows || i >= inputs_left) return;
  float total = 0;
  for (int w = 0; w < warps; ++w) total += sums[(w * kPackedRows + row) * kInputs + i];
  if constexpr (format == PackedFormat::kInt8) {
    total *= __uint_as_float(matrix.get(block, Lines::last_line(matrix.columns), row));
  }
  if (call.bias) total += load_parameter<x_t>(call.bias, call.float_bias, output);
  if (!sound) total = std::numeric_limits<float>::quiet_NaN();
  y[(first_input + i) * matrix.rows + output] = static_cast<x_t>(total);
}

template <PackedFormat format>
int64_t unpack_linear_blocks(const PackedMatrix& matrix) {
  constexpr int64_t kColumns = PackedLines<format>::kColumns;
  const int64_t lines = (matrix.columns + kColumns - 1) / kColumns,
                blocks = (matrix.rows + kPackedRows - 1) / kPackedRows;
  return (blocks * lines * kPackedRows + kPackedThreads - 1) / kPackedThreads;
}

// The matrix, [rows, columns]. A thread unpacks the dword of a row that is in a line.
template <PackedFormat format, class out_t>
__global__ void unpack_linear_kernel(PackedMatrix matrix, out_t* __restrict__ out) {
  using Lines = PackedLines<format>;
  if (matrix.is_other()) return;
  const float* const int4_weights = matrix.share_int4_weights();
  const uint32_t header_dword = matrix.header_dword(matrix.own_dword());

  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x,
                lines = (matrix.columns + Lines::kColumns - 1) / Lines::kColumns, block = index / (lines * kPackedRows),
                row = index % kPackedRows, output = block * kPackedRows + row,
                i = index / kPackedRows % lines;  // the line, of those of weights
  const bool sound = matrix.is_sound(header_dword);
  if (output >= matrix.rows) return;
  float weights[Lines::kColumns], scale;
  Lines::unpack(matrix.get(block, Lines::line(i / 8, i % 8), row), int4_weights, weights);
  if constexpr (format == PackedFormat::kInt8) {
    scale = __uint_as_float(matrix.get(block, Lines::last_line(matrix.columns), row));
  } else {
    scale = Lines::scale(matrix.get(block, Lines::scale_line(i / 8), row), i % 8);
  }
  if (!sound) scale = std::numeric_limits<float>::quiet_NaN();
  Vector<out_t, Lines::kColumns> values;
#pragma unroll
  for (int c = 0; c < Lines::kColumns; ++c) values.value[c] = static_cast<out_t>(scale * weights[c]);
  const int64_t column = i * Lines::kColumns;
  out_t* const to = out + output * matrix.columns + column;
  if (matrix.columns % Lines::kColumns == 0) {
    store_vector(to, values);
  } else {
    for (int c = 0; c < Lines::kColumns && column + c < matrix.columns; ++c) to[c] = values.value[c];
  }
}

}  // namespace wkv::cuda
