// ms_deform_attn on the GPU: see ms_deform_attn.h for the equation. A row is a head of a query of an image.
//
// Forward: a thread takes kChannels neighbouring channels of a row through all samples, each of which reads four rows
// of value. Backward: eight lanes share a row; the gradients of its locations and weights are their sums.
//
// The gradient of value is a sum over all samples that see a place, which meet there in no order, and sums of floats
// depend on the order. So they are sums of integers: each contribution is rounded to a multiple of 2^-shift, and the
// 64 bits hold any sum of them. The shift is chosen on the device, from the largest |dL/dy| * |weight| of a row, such
// that what is rounded off is below 2^-(60 - log2(samples)) of it. The result is the same in each run, and closer than
// a sum in fp32. Contributions that are not finite mark their element with a NaN.
// Cost: as ms_deform_attn.h says; backward 8 bytes more for each element of value, written as zeros, added to, and
// read.
#pragma once
#include "core/cuda/decay.cuh"
#include "core/cuda/vector.cuh"
//
#include <limits>

namespace wkv::cuda {

// Where the levels are: on the device, or, for what was on the CPU, here.
struct MsDeformAttnLevels {
  static constexpr int64_t kMost = 16;  // that have room here
  const int64_t *shapes, *starts;       // on the device; null: here
  int64_t shapes_here[2 * kMost], starts_here[kMost];
};

struct MsDeformAttnCall {
  MsDeformAttnLevels all_levels;
  const void *locations, *weights;
  bool float_locations, float_weights;  // they are fp32, whatever the dtype of value
  int64_t rows, places, heads, size, queries, levels, points;

  struct Level {
    int64_t height, width, start;
  };
  // What lies on the device was not checked: a level that is not within the places of value is empty.
  __device__ Level level(int64_t i) const {
    const auto& [shapes, starts, shapes_here, starts_here] = all_levels;
    const int64_t height = shapes ? shapes[2 * i] : shapes_here[2 * i],
                  width = shapes ? shapes[2 * i + 1] : shapes_here[2 * i + 1],
                  start = starts ? starts[i] : starts_here[i];
    // Exact, or so large that it doesn't matter.
    const double area = static_cast<double>(height) * static_cast<double>(width);
    const bool fits =
        height >= 0 && width >= 0 && start >= 0 && start <= places && area <= static_cast<double>(places - start);
    return fits ? Level{height, width, start} : Level{0, 0, 0};
  }
  // Of the first channel of a row, in [batch, places, heads, size].
  __device__ int64_t value_offset(int64_t row) const {
    return (row / (queries * heads) * places * heads + row % heads) * size;
  }
};

// What one point of a row looks at.
template <class acc_t>
struct DeformSample {
  acc_t weight, right, lower;  // the parts of the right column and of the lower row: 0 to 1; NaN: it is nowhere
  acc_t width, height;         // of the level
  bool inside;                 // some corner is
  int64_t place[4];            // upper left, upper right, lower left, lower right; -1: outside of the level
  acc_t coefficient[4];        // weight times area
};
template <class io_t>
__device__ inline DeformSample<accumulate_t<io_t>> deform_sample(const MsDeformAttnCall& call,
                                                                 const MsDeformAttnCall::Level& level, int64_t i) {
  using acc_t = accumulate_t<io_t>;
  DeformSample<acc_t> sample = {.weight = load_parameter<io_t>(call.weights, call.float_weights, i),
                                .width = static_cast<acc_t>(level.width),
                                .height = static_cast<acc_t>(level.height)};
  const acc_t half = 0.5, x = load_parameter<io_t>(call.locations, call.float_locations, 2 * i) * sample.width - half,
              y = load_parameter<io_t>(call.locations, call.float_locations, 2 * i + 1) * sample.height - half;
  sample.inside = x > -1 && x < sample.width && y > -1 && y < sample.height;
  if (!sample.inside) {
    // What lies outside is zero, what lies nowhere is not a number.
    if (x != x || y != y) sample.right = sample.lower = x + y;
    return sample;
  }
  const auto floor_of = [](acc_t v) {
    const auto truncated = static_cast<int64_t>(v);
    return truncated - (static_cast<acc_t>(truncated) > v);
  };
  const int64_t left = floor_of(x), upper = floor_of(y);
  sample.right = x - static_cast<acc_t>(left);
  sample.lower = y - static_cast<acc_t>(upper);
#pragma unroll
  for (int corner = 0; corner < 4; ++corner) {
    const int64_t row = upper + corner / 2, column = left + corner % 2;
    const bool exists = row >= 0 && row < level.height && column >= 0 && column < level.width;
    sample.place[corner] = exists ? level.start + row * level.width + column : -1;
    sample.coefficient[corner] =
        sample.weight * (corner / 2 ? sample.lower : 1 - sample.lower) * (corner % 2 ? sample.right : 1 - sample.right);
  }
  return sample;
}

// y: [rows, size].
template <class io_t, int kChannels>
__global__ void ms_deform_attn_kernel(MsDeformAttnCall call, const io_t* __restrict__ value, io_t* __restrict__ y) {
  using acc_t = accumulate_t<io_t>;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, vectors = call.size / kChannels,
                row = index / vectors;
  if (row >= call.rows) return;
  const io_t* const from = value + call.value_offset(row) + index % vectors * kChannels;
  acc_t sum[kChannels] = {};
  int64_t i = row * call.levels * call.points;
  for (int64_t l = 0; l < call.levels; ++l) {
    const auto level = call.level(l);
    for (int64_t p = 0; p < call.points; ++p, ++i) {
      const DeformSample<acc_t> sample = deform_sample<io_t>(call, level, i);
      if (!sample.inside) {
        for (acc_t& s : sum) s += sample.weight * sample.right;
        continue;
      }
#pragma unroll
      for (int corner = 0; corner < 4; ++corner) {
        if (sample.place[corner] < 0) continue;
        const auto values = load_vector<kChannels>(from + sample.place[corner] * call.heads * call.size);
#pragma unroll
        for (int c = 0; c < kChannels; ++c) {
          sum[c] += sample.coefficient[corner] * static_cast<acc_t>(values.value[c]);
        }
      }
    }
  }
  Vector<io_t, kChannels> out;
#pragma unroll
  for (int c = 0; c < kChannels; ++c) out.value[c] = static_cast<io_t>(sum[c]);
  store_vector(y + index * kChannels, out);
}

// --- the gradient of value in integers ---

inline constexpr int kExponentOffset = 4096;  // of what is kept, so that 0 is below all exponents

// After all rows: every finite dL/dy * weight is below 2^(*exponent - kExponentOffset).
template <class io_t>
__global__ void ms_deform_attn_exponent_kernel(MsDeformAttnCall call, const io_t* __restrict__ grad_y, int* exponent) {
  using acc_t = accumulate_t<io_t>;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x / 32, samples = call.levels * call.points;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const auto take_larger = [](acc_t& largest, acc_t x) {
    const acc_t size = x < 0 ? -x : x;
    if (size - size == 0 && size > largest) largest = size;
  };
  int own = 0;
  for (int64_t row = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / 32; row < call.rows;
       row += stride) {
    acc_t gradient = 0, weight = 0;
    for (int64_t d = lane; d < call.size; d += 32)
      take_larger(gradient, static_cast<acc_t>(grad_y[row * call.size + d]));
    for (int64_t i = lane; i < samples; i += 32) {
      take_larger(weight, load_parameter<io_t>(call.weights, call.float_weights, row * samples + i));
    }
    gradient = warp_max(gradient);
    weight = warp_max(weight);
    if (gradient == 0 || weight == 0) continue;
    int of_gradient, of_weight;
    frexp(static_cast<double>(gradient), &of_gradient);
    frexp(static_cast<double>(weight), &of_weight);
    const int of_row = of_gradient + of_weight + kExponentOffset;
    own = of_row > own ? of_row : own;
  }
  if (lane == 0) atomicMax(exponent, own);
}

// A sum of 2^headroom contributions, times 2^shift, has 62 bits.
template <class acc_t>
__device__ inline int integer_shift(int exponent, int headroom) {
  constexpr int kMost = std::numeric_limits<acc_t>::max_exponent;  // that a finite contribution has
  const int of_largest = exponent - kExponentOffset < kMost ? exponent - kExponentOffset : kMost,
            shift = 61 - headroom - of_largest;
  return shift < kMost - 2 ? shift : kMost - 2;
}

template <class io_t>
struct MsDeformAttnGradients {
  const io_t* __restrict__ value;
  const io_t* __restrict__ y;  // dL/dy [rows, size]
  void *locations, *weights;
  unsigned long long* sums;  // of the gradient of value, times 2^shift; zeros at first
  io_t* grad_value;          // zeros at first; NaN where the sum is
  const int* exponent;
  int headroom;
};

inline constexpr int kDeformLanes = 8;  // that share a row

template <class io_t, int kChannels>
__global__ void ms_deform_attn_backward_kernel(MsDeformAttnCall call, MsDeformAttnGradients<io_t> grad) {
  using acc_t = accumulate_t<io_t>;
  const int64_t index = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kDeformLanes;
  const bool exists = index < call.rows;  // the others go along for the sums over lanes
  const int64_t row = exists ? index : call.rows - 1, lane = threadIdx.x % kDeformLanes,
                first_value = call.value_offset(row);
  const auto scale = static_cast<acc_t>(ldexp(1.0, integer_shift<acc_t>(*grad.exponent, grad.headroom)));
  int64_t i = row * call.levels * call.points;
  for (int64_t l = 0; l < call.levels; ++l) {
    const auto level = call.level(l);
    for (int64_t p = 0; p < call.points; ++p, ++i) {
      const DeformSample<acc_t> sample = deform_sample<io_t>(call, level, i);
      acc_t product[4] = {};  // of dL/dy with the corners
      for (int64_t d = lane * kChannels; sample.inside && d < call.size; d += kDeformLanes * kChannels) {
        const auto grad_y = load_vector<kChannels>(grad.y + row * call.size + d);
#pragma unroll
        for (int corner = 0; corner < 4; ++corner) {
          if (sample.place[corner] < 0) continue;
          const int64_t at = first_value + sample.place[corner] * call.heads * call.size + d;
          const auto values = load_vector<kChannels>(grad.value + at);
#pragma unroll
          for (int c = 0; c < kChannels; ++c) {
            const auto gradient = static_cast<acc_t>(grad_y.value[c]);
            product[corner] += gradient * static_cast<acc_t>(values.value[c]);
            if (!exists) continue;
            const acc_t contribution = sample.coefficient[corner] * gradient, nothing = contribution - contribution;
            if (nothing == 0) {
              atomicAdd(grad.sums + at + c,
                        static_cast<unsigned long long>(static_cast<long long>(contribution * scale)));
            } else {
              grad.grad_value[at + c] = static_cast<io_t>(nothing);
            }
          }
        }
      }
#pragma unroll
      for (acc_t& sum : product) sum = warp_sum<kDeformLanes>(sum);
      if (!exists || lane > 0) continue;
      const acc_t upper_step = product[1] - product[0], lower_step = product[3] - product[2],
                  at_upper = product[0] + sample.right * upper_step, at_lower = product[2] + sample.right * lower_step;
      store_parameter<io_t>(grad.weights, call.float_weights, i, at_upper + sample.lower * (at_lower - at_upper));
      store_parameter<io_t>(grad.locations, call.float_locations, 2 * i,
                            sample.weight * sample.width * (upper_step + sample.lower * (lower_step - upper_step)));
      store_parameter<io_t>(grad.locations, call.float_locations, 2 * i + 1,
                            sample.weight * sample.height * (at_lower - at_upper));
    }
  }
}

template <class io_t>
__global__ void ms_deform_attn_value_kernel(MsDeformAttnGradients<io_t> grad, int64_t elements) {
  using acc_t = accumulate_t<io_t>;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const auto unit = static_cast<acc_t>(ldexp(1.0, -integer_shift<acc_t>(*grad.exponent, grad.headroom)));
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < elements; i += stride) {
    const acc_t sum = static_cast<acc_t>(static_cast<long long>(grad.sums[i])) * unit;
    grad.grad_value[i] = static_cast<io_t>(static_cast<acc_t>(grad.grad_value[i]) + sum);
  }
}

}  // namespace wkv::cuda
