// The backward of wkv4 on the GPU, in the segments of wkv4_kernels.cuh:
//   checkpoints  forwards: the state before every chunk of tokens; what the adjoints before a segment are of those
//                after it; the adjoints of the sequence's state after
//   backward     the adjoints after the segment, from those of the segments after it; then chunk by chunk backwards,
//   the
//                states within a chunk computed again in registers
// With the adjoints ga, gb of a state's a, b, the adjoint of its p is a ga + b gb + r: were the outputs all that the
// loss depends on, r would be 0, because only a e^p and b e^p matter to them. What a gradient of the state after adds
// beyond that, r, goes back unchanged to where the maximum p came from: a token's key or p before.
// All factors are at most 1. Cost of a token of a channel: three exps and a division; k and v read twice, dy once, dk
// and dv written, 3/8 of an fp32 row written and read; with segments three exps and a division more, k, v and dy once
// more.
#pragma once
#include "wkv4/wkv4_kernels.cuh"

namespace wkv::cuda {

inline constexpr int kWkv4Chunk = 8;  // tokens; a segment is whole chunks

// [.., channels] of the accumulation type; `slots` as in Wkv4Place.
template <class acc_t>
struct Wkv4Scratch {
  acc_t* segment_sums;  // [slots, 3]
  acc_t* checkpoints;   // [slots of chunks, 3]
  acc_t* passed;        // [slots, 4]: Wkv4Passed; null: there is one segment
  acc_t* after;         // [sequences, 3]: the adjoints ga, gb, r of the state after
  acc_t *by_w, *by_u;   // [slots]: what each segment adds to the gradients of w and u
};

template <class io_t>
struct Wkv4Gradients {
  using acc_t = accumulate_t<io_t>;
  const io_t* y;             // [tokens, channels]
  const acc_t* state_after;  // [sequences, 3, channels]
  io_t *k, *v;
  acc_t* state_before;  // null: not wanted
};

template <class acc_t>
struct Wkv4Adjoint {
  acc_t a = 0, b = 0, r = 0;
};
// The adjoints before a segment, of those after it: a, b times `factor`, and r if nothing in it set a maximum; and what
// the outputs in it add to those of a and b.
template <class acc_t>
struct Wkv4Passed {
  acc_t a, b, factor, r_passes;

  __device__ Wkv4Adjoint<acc_t> operator()(const Wkv4Adjoint<acc_t>& after) const {
    return {fma(factor, after.a, a), fma(factor, after.b, b), r_passes != 0 ? after.r : 0};
  }
};

// A token's output, and its gradient relative to the denominator.
template <class acc_t>
struct Wkv4Read {
  __device__ Wkv4Read(const LogSums<acc_t>& before, acc_t u, acc_t k, acc_t v, acc_t grad_y)
      : weight(before.exponent, u + k) {
    const Sums<acc_t> all = fma(weight.first, before.sums, weight.second * Sums<acc_t>{v, 1});
    const acc_t scale = 1 / all.weights;
    y = all.values * scale;
    g = grad_y * scale;
  }
  RelativeExp<acc_t> weight;  // of the state before and of the token's own value
  acc_t y, g;
};

// Where the checkpoints of a sequence begin.
__device__ inline int64_t wkv4_chunk_slot(const Wkv4Grid& grid, const Wkv4Place& my) {
  return grid.sequences[my.row].first_token / kWkv4Chunk + my.row + my.segment * (grid.segment_length / kWkv4Chunk);
}

template <class io_t>
__global__ void __launch_bounds__(kWkv4Threads, kWkv4Blocks<io_t>)
    wkv4_checkpoints_kernel(Wkv4Inputs in, Wkv4Grid grid, const accumulate_t<io_t>* state_before,
                            Wkv4Gradients<io_t> grad, Wkv4Scratch<accumulate_t<io_t>> scratch) {
  using acc_t = accumulate_t<io_t>;
  const Wkv4Place my(grid, in.channels);
  if (!my.exists) return;
  const auto parameters = load_wkv4_parameters<io_t>(in, my.channel);
  const acc_t log_decay = parameters.log_decay, u = parameters.u;
  LogSums<acc_t> state = wkv4_state_before(grid, my, log_decay, state_before, scratch.segment_sums);
  const int64_t chunk_slot = wkv4_chunk_slot(grid, my);
  const auto keep = [&](int64_t t) {
    if (t % kWkv4Chunk > 0) return;
    store_log_sums(scratch.checkpoints + my.in_rows(chunk_slot + t / kWkv4Chunk, 3), my.channels, state);
  };
  if (my.length == 0) keep(0);

  if (!scratch.passed) {
    pipelined_for(
        my.length, [&](int64_t t) { return load_wkv4_token<io_t>(in, my.at(t)); },
        [&](int64_t t, const Wkv4Token<io_t>& x) {
          keep(t);
          state = wkv4_step(state, log_decay, static_cast<acc_t>(x.k), static_cast<acc_t>(x.v));
        });
  } else {
    struct Token {
      Wkv4Token<io_t> x;
      io_t g;
    };
    acc_t begin = state.exponent;  // of what is left of the state before the segment
    Wkv4Passed<acc_t> passed{0, 0, 1, 1};
    pipelined_for(
        my.length,
        [&](int64_t t) {
          return Token{load_wkv4_token<io_t>(in, my.at(t)), grad.y[my.at(t)]};
        },
        [&](int64_t t, const Token& token) {
          keep(t);
          const acc_t k = static_cast<acc_t>(token.x.k), v = static_cast<acc_t>(token.x.v);
          const Wkv4Read<acc_t> read(state, u, k, v, static_cast<acc_t>(token.g));
          const acc_t past = exponential(begin - read.weight.top) * read.g;
          passed.a += past;
          passed.b = fma(-past, read.y, passed.b);
          if (!(state.exponent + log_decay > k)) passed.r_passes = 0;
          begin += log_decay;
          state = wkv4_step(state, log_decay, k, v);
        });
    passed.factor = exponential(begin - state.exponent);
    acc_t* const to = scratch.passed + my.in_rows(my.slot + my.segment, 4);
    to[0] = passed.a, to[my.channels] = passed.b;
    to[2 * my.channels] = passed.factor, to[3 * my.channels] = passed.r_passes;
  }
  if (!my.is_last) return;
  const int64_t at = my.in_rows(my.row, 3);
  const acc_t *given = grad.state_after + at, ga = given[0], gb = given[my.channels];
  acc_t* const to = scratch.after + at;
  to[0] = ga, to[my.channels] = gb;
  to[2 * my.channels] = given[2 * my.channels] - state.sums.values * ga - state.sums.weights * gb;
}

template <class acc_t>
__device__ inline Wkv4Adjoint<acc_t> wkv4_adjoint_after(const Wkv4Place& my, const Wkv4Scratch<acc_t>& scratch) {
  const acc_t* const after = scratch.after + my.in_rows(my.row, 3);
  Wkv4Adjoint<acc_t> adjoint{after[0], after[my.channels], after[2 * my.channels]};
  pipelined_for(
      my.segments - 1 - my.segment,
      [&](int64_t i) {
        const acc_t* const x = scratch.passed + my.in_rows(my.slot + my.segments - 1 - i, 4);
        return Wkv4Passed<acc_t>{x[0], x[my.channels], x[2 * my.channels], x[3 * my.channels]};
      },
      [&](int64_t, const Wkv4Passed<acc_t>& segment) { adjoint = segment(adjoint); });
  return adjoint;
}

// A chunk as it lies in memory.
template <class io_t>
struct Wkv4Chunk {
  Wkv4Token<io_t> x[kWkv4Chunk];
  io_t g[kWkv4Chunk];
  LogSums<accumulate_t<io_t>> state;  // before it
};

template <class io_t>
__global__ void __launch_bounds__(kWkv4Threads, kWkv4Blocks<io_t>)
    wkv4_backward_kernel(Wkv4Inputs in, Wkv4Grid grid, Wkv4Gradients<io_t> grad,
                         Wkv4Scratch<accumulate_t<io_t>> scratch) {
  using acc_t = accumulate_t<io_t>;
  const Wkv4Place my(grid, in.channels);
  if (!my.exists) return;
  const auto parameters = load_wkv4_parameters<io_t>(in, my.channel);
  const acc_t log_decay = parameters.log_decay, u = parameters.u;
  Wkv4Adjoint<acc_t> adjoint = wkv4_adjoint_after(my, scratch);
  acc_t by_w = 0, by_u = 0;
  const int64_t chunk_slot = wkv4_chunk_slot(grid, my);

  const auto load = [&](int64_t chunk, Wkv4Chunk<io_t>& to) {
#pragma unroll
    for (int i = 0; i < kWkv4Chunk; ++i) {
      const int64_t t = chunk * kWkv4Chunk + i;
      if (t >= my.length) continue;
      to.x[i] = load_wkv4_token<io_t>(in, my.at(t));
      to.g[i] = grad.y[my.at(t)];
    }
    to.state = load_log_sums(scratch.checkpoints + my.in_rows(chunk_slot + chunk, 3), my.channels);
  };
  // Back through the first `count` tokens of a chunk, all of them if `whole`.
  const auto back = [&](int64_t first, const Wkv4Chunk<io_t>& chunk, auto whole, int64_t count) {
    LogSums<acc_t> state = chunk.state, before[kWkv4Chunk];
    acc_t exps[kWkv4Chunk] = {};
#pragma unroll
    for (int i = 0; i < kWkv4Chunk; ++i) {
      if (!whole && i >= count) continue;
      before[i] = state;
      const acc_t k = static_cast<acc_t>(chunk.x[i].k), v = static_cast<acc_t>(chunk.x[i].v);
      const RelativeExp<acc_t> step(state.exponent + log_decay, k);
      exps[i] = step.smaller;
      state = {step.top, fma(step.first, state.sums, step.second * Sums<acc_t>{v, 1})};
    }
#pragma unroll
    for (int i = kWkv4Chunk - 1; i >= 0; --i) {
      if (!whole && i >= count) continue;
      const acc_t k = static_cast<acc_t>(chunk.x[i].k), v = static_cast<acc_t>(chunk.x[i].v);
      const Sums<acc_t> sums = before[i].sums;

      // The step of the state.
      const acc_t past_exponent = before[i].exponent + log_decay;
      const RelativeExp<acc_t> step(past_exponent, k, exps[i]);
      const acc_t r_before = past_exponent > k ? adjoint.r : 0;
      by_w += fma(step.first, fma(sums.values, adjoint.a, sums.weights * adjoint.b), r_before);
      const acc_t gk = fma(step.second, fma(v, adjoint.a, adjoint.b), adjoint.r - r_before);
      const acc_t gv = step.second * adjoint.a;

      // The output.
      const Wkv4Read<acc_t> read(before[i], u, k, v, static_cast<acc_t>(chunk.g[i]));
      const acc_t own = read.weight.second * read.g, past = read.weight.first * read.g, gu = own * (v - read.y);
      by_u += gu;
      adjoint = {fma(step.first, adjoint.a, past), fma(-past, read.y, step.first * adjoint.b), r_before};
      grad.k[my.at(first + i)] = static_cast<io_t>(gk + gu);
      grad.v[my.at(first + i)] = static_cast<io_t>(gv + own);
    }
  };

  const int64_t chunks = (my.length + kWkv4Chunk - 1) / kWkv4Chunk;
  Wkv4Chunk<io_t> next = {};
  if (chunks > 0) load(chunks - 1, next);
  for (int64_t i = chunks - 1; i >= 0; --i) {
    const Wkv4Chunk<io_t> chunk = next;
    if (i > 0) load(i - 1, next);
    const int64_t first = i * kWkv4Chunk, count = my.length - first;
    if (count >= kWkv4Chunk) {
      back(first, chunk, std::true_type(), kWkv4Chunk);
    } else {
      back(first, chunk, std::false_type(), count);
    }
  }

  const int64_t part = my.in_rows(my.slot + my.segment, 1);
  // The derivative of the log decay -exp(w) is the log decay itself.
  scratch.by_w[part] = by_w * log_decay;
  scratch.by_u[part] = by_u;
  if (grad.state_before && my.segment == 0) {
    const Sums<acc_t> sums = load_log_sums(scratch.checkpoints + my.in_rows(chunk_slot, 3), my.channels).sums;
    acc_t* const to = grad.state_before + my.in_rows(my.row, 3);
    to[0] = adjoint.a, to[my.channels] = adjoint.b;
    to[2 * my.channels] = fma(sums.values, adjoint.a, fma(sums.weights, adjoint.b, adjoint.r));
  }
}

}  // namespace wkv::cuda
