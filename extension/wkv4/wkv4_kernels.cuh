// wkv4 on the GPU: the equations of wkv4.h, a thread a channel, neighbouring threads neighbouring channels.
//
// Where sequences times channels are too few threads, a sequence is divided into segments:
//   segments   the sums over the tokens of each segment by themselves
//   forward    the state before the segment, from those of the segments before it; then token by token y
// One segment needs only the second. Cost of a token of a channel: two exps and one division, k and v read, y written;
// with segments one exp more, and k and v once more.
#pragma once
#include "core/cuda/decay.cuh"
#include "core/cuda/log_sums.cuh"
#include "core/cuda/pipelined_for.cuh"
#include "core/cuda/sequences.cuh"

namespace wkv::cuda {

inline constexpr int kWkv4Threads = 64;  // of a block
template <class io_t>
inline constexpr int kWkv4Blocks = std::is_same_v<io_t, double> ? 4 : 8;  // of a multiprocessor, at least

struct Wkv4Inputs {
  ParameterRow w, u;  // [channels]
  const void *k, *v;  // [tokens, channels]
  int64_t channels;
};

// The blocks of a grid: sequences, segments of a sequence, blocks of channels.
struct Wkv4Grid {
  Sequences sequences;
  int64_t segment_length, segments;  // tokens; as many as the longest sequence may have
};

// What a thread is for. The parts of scratch memory of a sequence's segments follow each other from `slot` on.
struct Wkv4Place {
  __device__ Wkv4Place(const Wkv4Grid& grid, int64_t channels_) : channels(channels_) {
    const int64_t channel_blocks = (channels + blockDim.x - 1) / blockDim.x;
    const int64_t part = blockIdx.x / channel_blocks;
    channel = blockIdx.x % channel_blocks * blockDim.x + threadIdx.x;
    row = part / grid.segments;
    segment = part % grid.segments;
    const Sequence sequence = grid.sequences[row];
    const int64_t begin = segment * grid.segment_length, left = sequence.length - begin;
    first_token = sequence.first_token + begin;
    length = left < grid.segment_length ? left : grid.segment_length;
    exists = channel < channels && (segment == 0 || left > 0);
    is_last = left <= grid.segment_length;
    segments = (sequence.length + grid.segment_length - 1) / grid.segment_length;
    slot = sequence.first_token / grid.segment_length + row;
  }
  // Of a tensor [tokens, channels], that of token t of the segment.
  __device__ int64_t at(int64_t t) const { return (first_token + t) * channels + channel; }
  // Of rows [count, channels] for each i.
  __device__ int64_t in_rows(int64_t i, int64_t count) const { return i * count * channels + channel; }

  int64_t channels, channel, row;
  int64_t segment, segments, slot;
  int64_t first_token, length;  // of the segment
  bool exists, is_last;
};

template <class acc_t>
struct Wkv4Parameters {
  acc_t log_decay, u;
};
template <class io_t>
__device__ inline Wkv4Parameters<accumulate_t<io_t>> load_wkv4_parameters(const Wkv4Inputs& in, int64_t channel) {
  using acc_t = accumulate_t<io_t>;
  // Finite, so that sums over no exponents but -inf stay what they are; the factor is 0 long before.
  constexpr acc_t kLeast = static_cast<acc_t>(-1e30);
  const acc_t log_decay = -exponential(load_parameter<io_t>(in.w.values, in.w.is_float, channel));
  return {log_decay < kLeast ? kLeast : log_decay, load_parameter<io_t>(in.u.values, in.u.is_float, channel)};
}

template <class io_t>
struct Wkv4Token {
  io_t k, v;
};
template <class io_t>
__device__ inline Wkv4Token<io_t> load_wkv4_token(const Wkv4Inputs& in, int64_t at) {
  return {static_cast<const io_t*>(in.k)[at], static_cast<const io_t*>(in.v)[at]};
}

// The mean that a token reads: of the state before it and of its own value, which has the bonus u.
template <class acc_t>
__device__ inline acc_t wkv4_read(const LogSums<acc_t>& before, acc_t u, acc_t k, acc_t v) {
  const Sums<acc_t> all = add(before, single(u + k, v)).sums;
  return all.values / all.weights;
}
template <class acc_t>
__device__ inline LogSums<acc_t> wkv4_step(const LogSums<acc_t>& before, acc_t log_decay, acc_t k, acc_t v) {
  return add(decayed(before, log_decay), single(k, v));
}

// The state before a segment: that before the sequence (null: the empty one) and the sums of the segments in between.
template <class acc_t>
__device__ inline LogSums<acc_t> wkv4_state_before(const Wkv4Grid& grid, const Wkv4Place& my, acc_t log_decay,
                                                   const acc_t* state_before, const acc_t* segment_sums) {
  LogSums<acc_t> state;
  if (state_before) state = load_log_sums(state_before + my.in_rows(my.row, 3), my.channels);
  const acc_t of_segment = static_cast<acc_t>(grid.segment_length) * log_decay;
  pipelined_for(
      my.segment, [&](int64_t i) { return load_log_sums(segment_sums + my.in_rows(my.slot + i, 3), my.channels); },
      [&](int64_t, const LogSums<acc_t>& sums) { state = add(decayed(state, of_segment), sums); });
  return state;
}

// segment_sums: [slots, 3, channels]. Nothing asks for the last ones of a sequence.
template <class io_t>
__global__ void __launch_bounds__(kWkv4Threads, kWkv4Blocks<io_t>)
    wkv4_segments_kernel(Wkv4Inputs in, Wkv4Grid grid, accumulate_t<io_t>* segment_sums) {
  using acc_t = accumulate_t<io_t>;
  const Wkv4Place my(grid, in.channels);
  if (!my.exists || my.is_last) return;
  const acc_t log_decay = load_wkv4_parameters<io_t>(in, my.channel).log_decay;
  LogSums<acc_t> sums;
  pipelined_for(
      my.length, [&](int64_t t) { return load_wkv4_token<io_t>(in, my.at(t)); },
      [&](int64_t, const Wkv4Token<io_t>& x) {
        sums = wkv4_step(sums, log_decay, static_cast<acc_t>(x.k), static_cast<acc_t>(x.v));
      });
  store_log_sums(segment_sums + my.in_rows(my.slot + my.segment, 3), my.channels, sums);
}

// state_before, state_after: [sequences, 3, channels].
template <class io_t>
__global__ void __launch_bounds__(kWkv4Threads, kWkv4Blocks<io_t>)
    wkv4_forward_kernel(Wkv4Inputs in, Wkv4Grid grid, const accumulate_t<io_t>* state_before,
                        const accumulate_t<io_t>* segment_sums, io_t* y, accumulate_t<io_t>* state_after) {
  using acc_t = accumulate_t<io_t>;
  const Wkv4Place my(grid, in.channels);
  if (!my.exists) return;
  const auto [log_decay, u] = load_wkv4_parameters<io_t>(in, my.channel);
  LogSums<acc_t> state = wkv4_state_before(grid, my, log_decay, state_before, segment_sums);
  pipelined_for(
      my.length, [&](int64_t t) { return load_wkv4_token<io_t>(in, my.at(t)); },
      [&, log_decay = log_decay, u = u](int64_t t, const Wkv4Token<io_t>& x) {
        const acc_t k = static_cast<acc_t>(x.k), v = static_cast<acc_t>(x.v);
        y[my.at(t)] = static_cast<io_t>(wkv4_read(state, u, k, v));
        state = wkv4_step(state, log_decay, k, v);
      });
  if (my.is_last) store_log_sums(state_after + my.in_rows(my.row, 3), my.channels, state);
}

// Row i of k, v and y [rows, channels] is a step of the state at slots[i] of the pool, whose states are `apart`
// elements from each other. Slots could not be checked before: one beyond the pool gives NaN and changes nothing.
template <class io_t>
__global__ void __launch_bounds__(kWkv4Threads)
    wkv4_decode_kernel(Wkv4Inputs in, const int64_t* slots, int64_t pool_size, int64_t apart, accumulate_t<io_t>* pool,
                       io_t* y) {
  using acc_t = accumulate_t<io_t>;
  const int64_t channel_blocks = (in.channels + blockDim.x - 1) / blockDim.x;
  const int64_t row = blockIdx.x / channel_blocks, channel = blockIdx.x % channel_blocks * blockDim.x + threadIdx.x;
  if (channel >= in.channels) return;
  const int64_t at = row * in.channels + channel, slot = slots[row];
  if (slot < 0 || slot >= pool_size) {
    y[at] = static_cast<io_t>(NAN);
    return;
  }
  acc_t* const rows = pool + slot * apart + channel;
  const auto [log_decay, u] = load_wkv4_parameters<io_t>(in, channel);
  const Wkv4Token<io_t> x = load_wkv4_token<io_t>(in, at);
  const acc_t k = static_cast<acc_t>(x.k), v = static_cast<acc_t>(x.v);
  const LogSums<acc_t> state = load_log_sums(rows, in.channels);
  y[at] = static_cast<io_t>(wkv4_read(state, u, k, v));
  store_log_sums(rows, in.channels, wkv4_step(state, log_decay, k, v));
}

}  // namespace wkv::cuda
