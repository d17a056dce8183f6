// Products of few rows with matrices as they lie, several matrices in one launch: time goes by the bytes of the
// matrices, so they are read once, 16 bytes a thread and load, the first of them before the kernel ahead has ended.
//
// A block computes a few outputs, its threads share the inputs of each: thread t those of the 16-byte units t, t + 128,
// ...; then lanes are summed by halves and warps one after the other. So the sum for an output goes in the same order
// however many rows of x there are. Rows of x are fp32 and come from the L1 cache, where a multiprocessor's blocks
// share them.
#pragma once
#include "core/cuda/platform.cuh"
//
#include "core/cuda/early_launch.cuh"
#include "decode_step/rows.cuh"

namespace wkv::cuda {

inline constexpr int kProductThreads = 128, kProductWarps = kProductThreads / 32, kMostProducts = 7;

// How sums become outputs.
enum class Outcome {
  kStore,
  kTanh,
  kSigmoid,
  kSquaredRelu,
  kAdd,       // y += sum + bias, which may be null
  kAddGated,  // y += sum * sigmoid(gate)
};

struct Product {
  const void* matrix;  // of the parameters' type: by_columns [inputs, outputs], else [outputs, inputs] and aligned
  bool by_columns;
  int64_t inputs, outputs;
  const float* x;  // [rows, inputs]
  float* y;        // [rows, outputs]
  Outcome outcome = Outcome::kStore;
  const void* bias = nullptr;   // [outputs]
  const float* gate = nullptr;  // [rows, outputs]
  int64_t tiles = 0;            // blocks for each group of rows
};

struct Products {
  Product of[kMostProducts];
  int64_t rows;
};

// 16 bytes of parameters, kept as they come: as values, those of 2 bytes would take a register each.
template <class P>
struct Unit {
  static constexpr int kValues = 16 / sizeof(P);
  uint4 bytes;

  __device__ float operator[](int i) const {
    const unsigned words[4] = {bytes.x, bytes.y, bytes.z, bytes.w};
    if constexpr (sizeof(P) == sizeof(unsigned)) {
      return __builtin_bit_cast(P, words[i]);
    } else {
      return static_cast<float>(__builtin_bit_cast(P, static_cast<uint16_t>(words[i / 2] >> 16 * (i % 2))));
    }
  }
  __device__ static Unit load(const P* aligned) { return {load_once(reinterpret_cast<const uint4*>(aligned))}; }
  // The first `count` values, zeros for the rest.
  __device__ static Unit load_part(const P* from, int64_t count) {
    P values[kValues] = {};
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      if (i < count) values[i] = from[i];
    }
    Unit unit;
    __builtin_memcpy(&unit, values, sizeof(unit));
    return unit;
  }
};

// How a block divides the work: kRows rows of x at a time.
template <class P, int kRows>
struct ProductTile {
  static constexpr int kOutputs = kRows <= 4 ? 4 : 8;                     // of a matrix [outputs, inputs]
  static constexpr int kUnits = 2, kColumns = kUnits * Unit<P>::kValues;  // ... of one [inputs, outputs]
  static constexpr int kUnitsAhead = kRows <= 4 ? 2 : 1, kRowsAhead = kRows <= 4 ? 8 : 4;
  static constexpr int kBlocks = kRows == 1 ? 6 : kRows <= 4 ? 4 : 2;  // of a multiprocessor, at least

  static int64_t tiles(const Product& product) {
    const int64_t outputs = product.by_columns ? kColumns : kOutputs;
    return (product.outputs + outputs - 1) / outputs;
  }
};

// Sums x[0], ..., x[n - 1], n a power of two, over the lanes that differ in the bits kMost, ..., kLeast of their
// number. A lane is left with the sums of the n kLeast / 32 values from that on which its number stands for, or of one.
template <int n, int kMost, int kLeast>
__device__ inline void sum_over_lanes(float* x) {
  if constexpr (kMost >= kLeast) {
    if constexpr (n == 1) {
      x[0] += __shfl_xor_sync(~0u, x[0], kMost);
    } else {
      const bool upper = threadIdx.x & kMost;
#pragma unroll
      for (int i = 0; i < n / 2; ++i) {
        const float given = upper ? x[i] : x[i + n / 2], kept = upper ? x[i + n / 2] : x[i];
        x[i] = kept + __shfl_xor_sync(~0u, given, kMost);
      }
    }
    sum_over_lanes<(n > 1 ? n / 2 : 1), kMost / 2, kLeast>(x);
  }
}
// The same, the sums to shared memory [n].
template <int n, int kLeast = 1>
__device__ inline void store_sums(float* x, float* to) {
  constexpr int kKept = n * kLeast > 32 ? n * kLeast / 32 : 1, kAlike = n * kLeast < 32 ? 32 / (n * kLeast) : 1;
  sum_over_lanes<n, 16, kLeast>(x);
  const int number = static_cast<int>(threadIdx.x % 32) / kLeast;
  if (number % kAlike != 0) return;
#pragma unroll
  for (int i = 0; i < kKept; ++i) to[number / kAlike * kKept + i] = x[i];
}

template <class P>
__device__ inline void finish_output(const Product& product, int64_t row, int64_t output, float sum) {
  const int64_t at = row * product.outputs + output;
  switch (product.outcome) {
    case Outcome::kStore:
      product.y[at] = sum;
      break;
    case Outcome::kTanh:
      product.y[at] = tanhf(sum);
      break;
    case Outcome::kSigmoid:
      product.y[at] = sigmoid(sum);
      break;
    case Outcome::kSquaredRelu:
      product.y[at] = squared_relu(sum);
      break;
    case Outcome::kAdd:
      product.y[at] += product.bias ? sum + value_at<P>(product.bias, output) : sum;
      break;
    case Outcome::kAddGated:
      product.y[at] += sigmoid(product.gate[at]) * sum;
      break;
  }
}

// Outputs first, ..., first + kOutputs - 1 for rows first_row, ... of x; rows beyond the last one are taken as the
// last.
template <class P, int kRows>
__device__ inline void multiply_by_rows(const Product& product, int64_t first, int64_t first_row, int64_t rows) {
  using Tile = ProductTile<P, kRows>;
  constexpr int kOutputs = Tile::kOutputs, kAhead = Tile::kUnitsAhead, kValues = Unit<P>::kValues;
  const int units = static_cast<int>(product.inputs / kValues), thread = static_cast<int>(threadIdx.x);
  const auto* const matrix = static_cast<const P*>(product.matrix) + first * product.inputs;
  Unit<P> weights[kAhead][kOutputs] = {};
  const auto load = [&](int ahead, int unit) {
    if (unit >= units) return;
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      weights[ahead][o] = Unit<P>::load(matrix + o * product.inputs + int64_t{unit} * kValues);
    }
  };
#pragma unroll
  for (int a = 0; a < kAhead; ++a) load(a, a * kProductThreads + thread);
  wait_for_previous_kernel();

  float sums[kOutputs * kRows] = {};
  for (int begin = 0; begin < units; begin += kAhead * kProductThreads) {
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int unit = begin + a * kProductThreads + thread;
      if (unit >= units) continue;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int64_t row = first_row + r < rows ? first_row + r : rows - 1;
        const auto* const x =
            reinterpret_cast<const float4*>(product.x + row * product.inputs + int64_t{unit} * kValues);
#pragma unroll
        for (int v = 0; v < kValues; v += 4) {
          const float4 four = x[v / 4];
#pragma unroll
          for (int o = 0; o < kOutputs; ++o) {
            float& sum = sums[o * kRows + r];
            sum = __fmaf_rn(weights[a][o][v], four.x, sum);
            sum = __fmaf_rn(weights[a][o][v + 1], four.y, sum);
            sum = __fmaf_rn(weights[a][o][v + 2], four.z, sum);
            sum = __fmaf_rn(weights[a][o][v + 3], four.w, sum);
          }
        }
      }
      load(a, unit + kAhead * kProductThreads);
    }
  }

  constexpr int kSums = kOutputs * kRows;
  auto* const partial = reinterpret_cast<float*>(shared_memory());  // [warps][kSums]
  store_sums<kSums>(sums, partial + thread / 32 * kSums);
  __syncthreads();
  if (thread >= kSums) return;
  const int64_t row = first_row + thread % kRows;
  if (row >= rows) return;
  float sum = 0;
  for (int warp = 0; warp < kProductWarps; ++warp) sum += partial[warp * kSums + thread];
  finish_output<P>(product, row, first + thread / kRows, sum);
}

// Outputs first, ..., first + kColumns - 1: a unit of columns a thread, thread t for the inputs t / kUnits, ...
template <class P, int kRows>
__device__ inline void multiply_by_columns(const Product& product, int64_t first, int64_t first_row, int64_t rows) {
  using Tile = ProductTile<P, kRows>;
  constexpr int kUnits = Tile::kUnits, kAhead = Tile::kRowsAhead, kValues = Unit<P>::kValues,
                kStep = kProductThreads / kUnits;
  const int inputs = static_cast<int>(product.inputs), thread = static_cast<int>(threadIdx.x);
  const int64_t outputs = product.outputs, column = first + thread % kUnits * kValues;
  const auto* const matrix = static_cast<const P*>(product.matrix) + column;
  const bool aligned = column + kValues <= outputs && outputs % kValues == 0 &&
                       reinterpret_cast<uintptr_t>(product.matrix) % sizeof(Unit<P>) == 0;
  Unit<P> weights[kAhead] = {};
  const auto load = [&](int ahead, int k) {
    if (k >= inputs) return;
    const P* const from = matrix + k * outputs;
    weights[ahead] = aligned ? Unit<P>::load(from) : Unit<P>::load_part(from, outputs - column);
  };
#pragma unroll
  for (int a = 0; a < kAhead; ++a) load(a, a * kStep + thread / kUnits);
  wait_for_previous_kernel();

  float sums[kValues * kRows] = {};
  for (int begin = thread / kUnits; begin < inputs; begin += kAhead * kStep) {
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int k = begin + a * kStep;
      if (k >= inputs) continue;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int64_t row = first_row + r < rows ? first_row + r : rows - 1;
        const float x = product.x[row * inputs + k];
#pragma unroll
        for (int v = 0; v < kValues; ++v) {
          sums[v * kRows + r] = __fmaf_rn(weights[a][v], x, sums[v * kRows + r]);
        }
      }
      load(a, k + kAhead * kStep);
    }
  }

  constexpr int kSums = kValues * kRows;
  auto* const partial = reinterpret_cast<float*>(shared_memory());  // [warps][kUnits][kSums]
  store_sums<kSums, kUnits>(sums, partial + (thread / 32 * kUnits + thread % kUnits) * kSums);
  __syncthreads();
  if (thread >= kUnits * kSums) return;
  const int64_t row = first_row + thread % kRows, output = first + thread / kRows;
  if (row >= rows || output >= outputs) return;
  float sum = 0;
  for (int warp = 0; warp < kProductWarps; ++warp) sum += partial[warp * kUnits * kSums + thread];
  finish_output<P>(product, row, output, sum);
}

// Blocks: those of the first product, of the second, ...; of a product tile by tile, for each group of rows one.
template <class P, int kRows>
__global__ void __launch_bounds__(kProductThreads, ProductTile<P, kRows>::kBlocks)
    multiply_kernel(const __grid_constant__ Products products) {
  let_next_kernel_begin();
  using Tile = ProductTile<P, kRows>;
  const int64_t groups = (products.rows + kRows - 1) / kRows, first_row = blockIdx.x % groups * kRows;
  int64_t tile = blockIdx.x / groups;
  int i = 0;
  for (; tile >= products.of[i].tiles; ++i) tile -= products.of[i].tiles;
  const Product& product = products.of[i];
  if (product.by_columns) {
    multiply_by_columns<P, kRows>(product, tile * Tile::kColumns, first_row, products.rows);
  } else {
    multiply_by_rows<P, kRows>(product, tile * Tile::kOutputs, first_row, products.rows);
  }
}

template <class P, int kRows>
constexpr int64_t product_shared_bytes() {
  using Tile = ProductTile<P, kRows>;
  constexpr int64_t kSums = (Tile::kOutputs > Tile::kColumns ? Tile::kOutputs : Tile::kColumns) * kRows;
  return kProductWarps * kSums * static_cast<int64_t>(sizeof(float));
}

}  // namespace wkv::cuda
