// short_conv and its backward on the GPU: see short_conv.h for the equations.
//
// A thread takes kChannels neighbouring channels through a segment of a sequence's tokens, with the last inputs in a
// window; before its first token it reads the kernel_size - 1 before that. Threads of a warp are neighbours in the
// channels, so that memory is read in rows. The backward goes kernel_size - 1 tokens beyond its segment for the
// gradient of x, and leaves its part of the gradients of weight and bias to sum_short_conv_parts, which sums the parts
// of all segments in their order.
// Cost of a token of a channel: x read once and y written; backward x, grad_y read and grad_x written; and
// (kernel_size - 1) / segment more of what is read.
#pragma once
#include "core/cuda/decay.cuh"
#include "core/cuda/sequences.cuh"
#include "core/cuda/vector.cuh"

namespace wkv::cuda {

struct ShortConvCall {
  Sequences sequences;
  int64_t segment;                // tokens of a segment
  int64_t channels, taps;         // taps: the kernel size
  const void *weight, *bias;      // [channels, taps], [channels]; bias null: zeros
  bool float_weight, float_bias;  // fp32, whatever the io dtype
  bool silu;

  // Enough for the segments of all sequences, whatever their lengths: a sequence's first is at
  // first_token / segment + row.
  __host__ __device__ int64_t slots() const { return sequences.tokens / segment + sequences.count; }
};

// Forward: y and state_after; backward: the gradients of those, and of x and state_before.
template <class io_t>
struct ShortConvTensors {
  using acc_t = accumulate_t<io_t>;
  const io_t* __restrict__ x;           // [tokens, channels]
  const acc_t* __restrict__ state;      // [sequences, channels, taps]; null: zeros
  io_t* __restrict__ y;                 // [tokens, channels]
  acc_t* __restrict__ state_after;      // [sequences, channels, taps]
  io_t* __restrict__ grad_x;            // as x
  acc_t* __restrict__ grad_state;       // as state; null: not wanted
  acc_t* __restrict__ grad_parameters;  // [slots, taps + 1, channels]: of weight, and of bias last
};

// The tokens first, ..., last - 1 of a sequence.
struct ShortConvSegment {
  Sequence sequence;
  int64_t row, first, last;
  bool exists;
};
__device__ inline ShortConvSegment short_conv_segment(const ShortConvCall& call, int64_t slot) {
  const auto slot_of = [&](int64_t row) { return call.sequences[row].first_token / call.segment + row; };
  int64_t row = 0;
  for (int64_t above = call.sequences.count; above - row > 1;) {
    const int64_t middle = row + (above - row) / 2;
    (slot_of(middle) <= slot ? row : above) = middle;
  }
  const Sequence sequence = call.sequences[row];
  const int64_t first = (slot - slot_of(row)) * call.segment, end = first + call.segment;
  // An empty sequence has one empty segment: its state passes through.
  const bool exists = first == 0 || (first > 0 && first < sequence.length);
  return {sequence, row, first, end < sequence.length ? end : sequence.length, exists};
}

// A value for each tap and channel of a thread: in registers where the taps are known to the compiler, else (kTaps = 0)
// in shared memory, which holds `index` such arrays of the block before this one.
template <class acc_t, int kTaps, int kChannels>
class TapValues {
 public:
  __device__ TapValues(int /*index*/, int64_t /*taps*/) {}
  __device__ acc_t& operator()(int j, int c) { return values_[j][c]; }

 private:
  acc_t values_[kTaps][kChannels];
};
template <class acc_t, int kChannels>
class TapValues<acc_t, 0, kChannels> {
 public:
  __device__ TapValues(int index, int64_t taps)
      : values_(reinterpret_cast<acc_t*>(shared_memory()) + index * taps * kChannels * blockDim.x + threadIdx.x) {}
  __device__ acc_t& operator()(int j, int c) { return values_[(j * kChannels + c) * blockDim.x]; }

 private:
  acc_t* values_;
};

// Tokens whose rows are asked for before the first of them is used: one after the other, waiting would be most of the
// time.
inline constexpr int kShortConvTokens = 4;

// What forward and backward share: a thread's channels, its segment, the weights and the window of inputs.
template <class io_t, int kTaps, int kChannels>
struct ShortConvThread {
  using acc_t = accumulate_t<io_t>;
  using Values = Vector<acc_t, kChannels>;

  const ShortConvCall& call;
  const ShortConvTensors<io_t>& tensors;
  int64_t slot, channel;  // the first of its channels
  ShortConvSegment segment;
  TapValues<acc_t, kTaps, kChannels> weight, window;  // window: tap j of the token that was pushed last
  Values bias;

  __device__ ShortConvThread(const ShortConvCall& call_, const ShortConvTensors<io_t>& tensors_, int64_t index)
      : call(call_),
        tensors(tensors_),
        slot(index / (call.channels / kChannels)),
        channel(index % (call.channels / kChannels) * kChannels),
        segment(short_conv_segment(call, slot)),
        weight(0, call.taps),
        window(1, call.taps) {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      bias.value[c] = call.bias ? load_parameter<io_t>(call.bias, call.float_bias, channel + c) : acc_t{0};
#pragma unroll
      for (int j = 0; j < taps(); ++j) {
        weight(j, c) = load_parameter<io_t>(call.weight, call.float_weight, (channel + c) * call.taps + j);
      }
    }
  }

  __device__ int taps() const { return kTaps > 0 ? kTaps : static_cast<int>(call.taps); }
  __device__ int64_t row_offset(int64_t t) const {
    return (segment.sequence.first_token + t) * call.channels + channel;
  }
  __device__ int64_t state_offset(int c, int64_t tap) const {
    return ((segment.row * call.channels + channel + c) * call.taps) + tap;
  }

  // Row t of a [tokens, channels] tensor.
  __device__ Values load(const io_t* rows, int64_t t) const {
    const auto row = load_vector<kChannels>(rows + row_offset(t));
    Values values;
    for (int c = 0; c < kChannels; ++c) values.value[c] = static_cast<acc_t>(row.value[c]);
    return values;
  }
  // The rows of a token and of those after it; of the last token, where there are no more.
  __device__ void load_ahead(const io_t* rows, int64_t t, Values (&values)[kShortConvTokens]) const {
    const int64_t last = segment.sequence.length - 1;
#pragma unroll
    for (int i = 0; i < kShortConvTokens; ++i) values[i] = load(rows, t + i < last ? t + i : last);
  }
  __device__ void store(io_t* rows, int64_t t, const Values& values) const {
    Vector<io_t, kChannels> row;
    for (int c = 0; c < kChannels; ++c) row.value[c] = static_cast<io_t>(values.value[c]);
    store_vector(rows + row_offset(t), row);
  }

  // The input of token t, which before the sequence, to t = -taps, is in the state.
  __device__ Values input(int64_t t) const {
    if (t >= 0) return load(tensors.x, t);
    Values values = {};
    for (int c = 0; tensors.state && c < kChannels; ++c) {
      values.value[c] = tensors.state[state_offset(c, call.taps + t)];
    }
    return values;
  }

  template <class Taps>
  __device__ void push(Taps& newest, const Values& values) const {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
#pragma unroll
      for (int j = 0; j + 1 < taps(); ++j) newest(j, c) = newest(j + 1, c);
      newest(taps() - 1, c) = values.value[c];
    }
  }
  // Fills the window up to token t.
  __device__ void fill_window(int64_t t) {
#pragma unroll
    for (int j = 0; j < taps(); ++j) {
      const Values values = input(t - (taps() - 1) + j);
#pragma unroll
      for (int c = 0; c < kChannels; ++c) window(j, c) = values.value[c];
    }
  }

  __device__ acc_t convolve(int c) {
    acc_t z = bias.value[c];
#pragma unroll
    for (int j = 0; j < taps(); ++j) z += weight(j, c) * window(j, c);
    return z;
  }
};

// Arrays of TapValues in a kernel's shared memory where kTaps = 0.
inline constexpr int kShortConvForwardArrays = 2, kShortConvBackwardArrays = 4;

template <class io_t, int kTaps, int kChannels>
__global__ void short_conv_kernel(ShortConvCall call, ShortConvTensors<io_t> tensors) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= call.slots() * (call.channels / kChannels)) return;
  ShortConvThread<io_t, kTaps, kChannels> my(call, tensors, index);
  const ShortConvSegment& segment = my.segment;
  if (!segment.exists) return;

  using acc_t = accumulate_t<io_t>;
  using Values = typename decltype(my)::Values;
  my.fill_window(segment.first - 1);
  for (int64_t t = segment.first; t < segment.last; t += kShortConvTokens) {
    Values x[kShortConvTokens];
    my.load_ahead(tensors.x, t, x);
#pragma unroll
    for (int i = 0; i < kShortConvTokens; ++i) {
      if (t + i >= segment.last) break;
      my.push(my.window, x[i]);
      Values y;
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        const acc_t z = my.convolve(c);
        y.value[c] = call.silu ? z / (acc_t{1} + exponential(-z)) : z;
      }
      my.store(tensors.y, t + i, y);
    }
  }
  if (segment.last < segment.sequence.length) return;
#pragma unroll
  for (int j = 0; j < my.taps(); ++j) {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) tensors.state_after[my.state_offset(c, j)] = my.window(j, c);
  }
}

// g: dL/dz. dx_s is complete when g of the token s + taps - 1 is known; beyond the sequence's end g is zero.
template <class io_t, int kTaps, int kChannels>
__global__ void short_conv_backward_kernel(ShortConvCall call, ShortConvTensors<io_t> tensors) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= call.slots() * (call.channels / kChannels)) return;
  using acc_t = accumulate_t<io_t>;
  ShortConvThread<io_t, kTaps, kChannels> my(call, tensors, index);
  using Values = typename decltype(my)::Values;
  TapValues<acc_t, kTaps, kChannels> g_window(2, call.taps), grad_weight(3, call.taps);
  Values grad_bias = {};
  const int taps = my.taps();
#pragma unroll
  for (int j = 0; j < taps; ++j) {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) g_window(j, c) = grad_weight(j, c) = 0;
  }

  const ShortConvSegment& segment = my.segment;
  const int64_t length = segment.sequence.length;
  // The part of dL/d(state after) that is dL/dx_s.
  const auto through_state = [&](int64_t s, int c) {
    const int64_t tap = s - (length - taps);
    return tap >= 0 ? tensors.state_after[my.state_offset(c, tap)] : acc_t{0};
  };
  if (segment.exists) {
    my.fill_window(segment.first - 1);
    const int64_t end = segment.last + taps - 1;
    for (int64_t first = segment.first; first < end; first += kShortConvTokens) {
      Values x[kShortConvTokens] = {}, grad_y[kShortConvTokens] = {};
      if (length > 0) {
        my.load_ahead(tensors.x, first, x);
        my.load_ahead(tensors.y, first, grad_y);
      }
#pragma unroll
      for (int i = 0; i < kShortConvTokens; ++i) {
        const int64_t t = first + i;
        if (t >= end) break;
        Values g = {};
        if (t < length) {
          g = grad_y[i];
          my.push(my.window, x[i]);
#pragma unroll
          for (int c = 0; c < kChannels; ++c) {
            if (call.silu) {
              const acc_t z = my.convolve(c), gate = acc_t{1} / (acc_t{1} + exponential(-z));
              g.value[c] *= gate * (acc_t{1} + z * (acc_t{1} - gate));
            }
            if (t < segment.last) {
              grad_bias.value[c] += g.value[c];
#pragma unroll
              for (int j = 0; j < taps; ++j) grad_weight(j, c) += g.value[c] * my.window(j, c);
            }
          }
        }
        my.push(g_window, g);
        const int64_t s = t - (taps - 1);
        if (s < segment.first && segment.first > 0) continue;  // the segment's before this one
        Values dx;
#pragma unroll
        for (int c = 0; c < kChannels; ++c) {
          dx.value[c] = through_state(s, c);
#pragma unroll
          for (int j = 0; j < taps; ++j) dx.value[c] += my.weight(j, c) * g_window(taps - 1 - j, c);
        }
        if (s >= 0) {
          my.store(tensors.grad_x, s, dx);
        } else if (tensors.grad_state) {
          for (int c = 0; c < kChannels; ++c) tensors.grad_state[my.state_offset(c, taps + s)] = dx.value[c];
        }
      }
    }
    if (segment.first == 0 && tensors.grad_state) {  // no token reads the oldest
      for (int c = 0; c < kChannels; ++c) tensors.grad_state[my.state_offset(c, 0)] = through_state(-taps, c);
    }
  }
#pragma unroll
  for (int c = 0; c < kChannels; ++c) {
    acc_t* const part = tensors.grad_parameters + my.slot * (call.taps + 1) * call.channels + my.channel + c;
#pragma unroll
    for (int j = 0; j < taps; ++j) part[j * call.channels] = grad_weight(j, c);
    part[taps * call.channels] = grad_bias.value[c];
  }
}

// The gradients of weight and bias (null: not wanted) from their parts. A block takes 32 channels of one tap, or of the
// bias; its warps share the slots.
template <class io_t>
__global__ void sum_short_conv_parts(ShortConvCall call, const accumulate_t<io_t>* parts, void* grad_weight,
                                     void* grad_bias) {
  using acc_t = accumulate_t<io_t>;
  auto* const sums = reinterpret_cast<acc_t*>(shared_memory());  // [warps][32]
  const int64_t row = blockIdx.x % (call.taps + 1), channel = blockIdx.x / (call.taps + 1) * 32 + threadIdx.x % 32;
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  acc_t sum = 0;
  if (channel < call.channels) {
#pragma unroll 4
    for (int64_t slot = warp; slot < call.slots(); slot += warps) {
      sum += parts[(slot * (call.taps + 1) + row) * call.channels + channel];
    }
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (warp > 0 || channel >= call.channels) return;
  for (int w = 1; w < warps; ++w) sum += sums[w * 32 + threadIdx.x];
  if (row < call.taps) {
    store_parameter<io_t>(grad_weight, call.float_weight, channel * call.taps + row, sum);
  } else if (grad_bias) {
    store_parameter<io_t>(grad_bias, call.float_bias, channel, sum);
  }
}

}  // namespace wkv::cuda
