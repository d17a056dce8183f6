// _mix_neighbours on the GPU: see mix_neighbours.h. A thread has one channel; forward, of one token; backward, of
// neighbouring tokens, whose part of dmix it sums: the parts are summed afterwards, in a fixed order.
#pragma once
#include "core/cuda/decay.cuh"
#include "mix_tokens/mix_tokens.h"
#include "q_shift/q_shift_kernels.cuh"

namespace wkv::cuda {

struct MixNeighboursCall {
  MixTokensInputs in;
  QShiftCall shift, opposite;
};

template <class io_t>
struct MixNeighboursChannel {
  using acc_t = accumulate_t<io_t>;
  const MixNeighboursCall& call;
  int64_t channel;

  __device__ int64_t at(int64_t token) const { return token * call.in.channels + channel; }
  __device__ int64_t at(int64_t mix, int64_t token) const { return at(mix * call.in.tokens + token); }
  __device__ acc_t load(const void* tensor, int64_t element) const {
    return static_cast<acc_t>(static_cast<const io_t*>(tensor)[element]);
  }
  // x' - x
  __device__ acc_t difference(int64_t token) const {
    const int64_t to_neighbour = call.shift.to_neighbour(token, channel);
    const acc_t x = load(call.in.x, at(token));
    return to_neighbour == kNoNeighbour ? -x : load(call.in.x, at(token + to_neighbour)) - x;
  }
  __device__ acc_t mix(int64_t m, int64_t token) const {
    const acc_t mix = load_parameter<io_t>(call.in.mixes.values, call.in.mixes.is_float, at(m));
    return call.in.changes ? mix + load(call.in.changes, at(m, token)) : mix;
  }
};

template <class io_t>
__global__ void mix_neighbours_kernel(MixNeighboursCall call, io_t* mixed) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < call.in.tokens * call.in.channels;
       i += stride) {
    const int64_t token = i / call.in.channels;
    const MixNeighboursChannel<io_t> channel{call, i % call.in.channels};
    const auto x = channel.load(call.in.x, i), difference = channel.difference(token);
    for (int64_t m = 0; m < call.in.count; ++m) {
      mixed[channel.at(m, token)] = static_cast<io_t>(x + difference * channel.mix(m, token));
    }
  }
}

// mixes: [parts, count, channels]; part p has the tokens p * part_tokens, ... The others as in MixNeighboursGradients.
// Block: part * channel blocks.
template <class io_t>
struct MixNeighboursBackward {
  const io_t* mixed;
  io_t *x, *changes;
  accumulate_t<io_t>* mixes;
  int64_t part_tokens;
};

template <class io_t>
__global__ void mix_neighbours_backward_kernel(MixNeighboursCall call, MixNeighboursBackward<io_t> grad) {
  using acc_t = accumulate_t<io_t>;
  const int64_t channel_blocks = (call.in.channels + blockDim.x - 1) / blockDim.x, part = blockIdx.x / channel_blocks;
  const MixNeighboursChannel<io_t> channel{call, blockIdx.x % channel_blocks * blockDim.x + threadIdx.x};
  if (channel.channel >= call.in.channels) return;
  const int64_t first = part * grad.part_tokens,
                end = first + grad.part_tokens < call.in.tokens ? first + grad.part_tokens : call.in.tokens;
  acc_t sums[kMostMixes] = {};
  for (int64_t token = first; token < end; ++token) {
    const acc_t difference = channel.difference(token);
    const int64_t to_other = call.opposite.to_neighbour(token, channel.channel), other = token + to_other;
    acc_t dx = 0;
#pragma unroll
    for (int m = 0; m < kMostMixes; ++m) {  // unrolled, so that the sums are in registers
      if (m >= call.in.count) break;
      const acc_t g = channel.load(grad.mixed, channel.at(m, token));
      dx += g - g * channel.mix(m, token);
      if (to_other != kNoNeighbour) dx += channel.load(grad.mixed, channel.at(m, other)) * channel.mix(m, other);
      sums[m] += g * difference;
      if (grad.changes) grad.changes[channel.at(m, token)] = static_cast<io_t>(g * difference);
    }
    grad.x[channel.at(token)] = static_cast<io_t>(dx);
  }
#pragma unroll
  for (int m = 0; m < kMostMixes; ++m) {
    if (m < call.in.count) grad.mixes[channel.at(part * call.in.count + m)] = sums[m];
  }
}

}  // namespace wkv::cuda
