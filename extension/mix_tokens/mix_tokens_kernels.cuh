// _mix_tokens on the GPU: see mix_tokens.h. A thread has one channel; forward, of one token; backward, of neighbouring
// tokens, whose part of dmix it sums: the parts are summed afterwards, in a fixed order.
#pragma once
#include "core/cuda/decay.cuh"
#include "core/cuda/sequences.cuh"
#include "mix_tokens/mix_tokens.h"

namespace wkv::cuda {

struct MixTokensCall {
  MixTokensInputs in;
  const void* last;  // [sequences, channels]
  Sequences sequences;
};

template <class io_t>
struct MixTokensChannel {
  using acc_t = accumulate_t<io_t>;
  const MixTokensCall& call;
  int64_t channel;

  __device__ int64_t at(int64_t token) const { return token * call.in.channels + channel; }
  __device__ int64_t at(int64_t mix, int64_t token) const { return at(mix * call.in.tokens + token); }
  __device__ acc_t load(const void* tensor, int64_t element) const {
    return static_cast<acc_t>(static_cast<const io_t*>(tensor)[element]);
  }
  // Its predecessor's value: of the sequence's first token, what came before the sequence.
  __device__ acc_t before(int64_t token, int64_t row, const Sequence& sequence) const {
    return token == sequence.first_token ? load(call.last, at(row)) : load(call.in.x, at(token - 1));
  }
  __device__ acc_t mix(int64_t m, int64_t token) const {
    const acc_t mix = load_parameter<io_t>(call.in.mixes.values, call.in.mixes.is_float, at(m));
    return call.in.changes ? mix + load(call.in.changes, at(m, token)) : mix;
  }
};

template <class io_t>
__global__ void mix_tokens_kernel(MixTokensCall call, io_t* mixed) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < call.in.tokens * call.in.channels;
       i += stride) {
    const int64_t token = i / call.in.channels, row = call.sequences.row_of(token);
    const MixTokensChannel<io_t> channel{call, i % call.in.channels};
    const auto now = channel.load(call.in.x, i), before = channel.before(token, row, call.sequences[row]);
    for (int64_t m = 0; m < call.in.count; ++m) {
      mixed[channel.at(m, token)] = static_cast<io_t>(now + (before - now) * channel.mix(m, token));
    }
  }
}

// What the next call is to be given as `last`.
template <class io_t>
__global__ void mix_tokens_last_kernel(MixTokensCall call, io_t* last_after) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= call.sequences.count * call.in.channels) return;
  const Sequence sequence = call.sequences[i / call.in.channels];
  const int64_t token = sequence.first_token + sequence.length - 1;
  const auto* const x = static_cast<const io_t*>(call.in.x);
  last_after[i] =
      sequence.length > 0 ? x[token * call.in.channels + i % call.in.channels] : static_cast<const io_t*>(call.last)[i];
}

// mixes: [parts, count, channels]; part p has the tokens p * part_tokens, ... The others as in MixTokensGradients, of
// all tokens and sequences. Block: part * channel blocks.
template <class io_t>
struct MixTokensBackward {
  const io_t *mixed, *last;
  io_t *x, *changes, *before;
  accumulate_t<io_t>* mixes;
  int64_t part_tokens;
};

template <class io_t>
__global__ void mix_tokens_backward_kernel(MixTokensCall call, MixTokensBackward<io_t> grad) {
  using acc_t = accumulate_t<io_t>;
  const int64_t channel_blocks = (call.in.channels + blockDim.x - 1) / blockDim.x, part = blockIdx.x / channel_blocks;
  const MixTokensChannel<io_t> channel{call, blockIdx.x % channel_blocks * blockDim.x + threadIdx.x};
  if (channel.channel >= call.in.channels) return;
  const int64_t first = part * grad.part_tokens,
                end = first + grad.part_tokens < call.in.tokens ? first + grad.part_tokens : call.in.tokens;
  acc_t sums[kMostMixes] = {};
  for (int64_t token = first; token < end; ++token) {
    const int64_t row = call.sequences.row_of(token);
    const Sequence sequence = call.sequences[row];
    const bool ends = token + 1 == sequence.first_token + sequence.length;
    const acc_t change = channel.before(token, row, sequence) - channel.load(call.in.x, channel.at(token));
    acc_t dx = ends ? channel.load(grad.last, channel.at(row)) : acc_t{0}, dbefore = 0;
#pragma unroll
    for (int m = 0; m < kMostMixes; ++m) {  // unrolled, so that the sums are in registers
      if (m >= call.in.count) break;
      const acc_t g = channel.load(grad.mixed, channel.at(m, token)), to_before = g * channel.mix(m, token);
      dx += g - to_before;
      dbefore += to_before;
      if (!ends) dx += channel.load(grad.mixed, channel.at(m, token + 1)) * channel.mix(m, token + 1);
      sums[m] += g * change;
      if (grad.changes) grad.changes[channel.at(m, token)] = static_cast<io_t>(g * change);
    }
    grad.x[channel.at(token)] = static_cast<io_t>(dx);
    if (token == sequence.first_token) grad.before[channel.at(row)] = static_cast<io_t>(dbefore);
  }
#pragma unroll
  for (int m = 0; m < kMostMixes; ++m) {
    if (m < call.in.count) grad.mixes[channel.at(part * call.in.count + m)] = sums[m];
  }
}

}  // namespace wkv::cuda
