// bi_wkv on the GPU: the equations of bi_wkv.h, for keys and decays of any size: sums have exponents of their own, and
// no factor is ever larger than 1, since an output's denominator has a part in it of every source.
//
// A thread has some tokens of a channel in its registers; the lanes of a warp are neighbouring channels, the warps of a
// block tokens one after the other: a span. Each thread sums its own tokens, as seen from both sides; the sums over all
// other tokens come from the other warps through shared memory, of other spans through launches before:
//   spans    the sums over each span
//   scan     from these, the sums over all spans on either side of each
//   forward  y
// Where one span is all, only the last.
// Cost of a token of a channel: six exps, an eighth of one for each other warp of the block, and a division; k and v
// read, y written; with spans two exps, those for the other warps, and k and v once more.
#pragma once
#include "core/cuda/decay.cuh"
#include "core/cuda/log_sums.cuh"
#include "core/cuda/pipelined_for.cuh"

namespace wkv::cuda {

inline constexpr int kBiWkvTokens = 8;  // of a thread
// Of a block at most, so that each of its threads has 64 registers forwards, 128 backwards.
inline constexpr int kBiWkvForwardWarps = 32, kBiWkvBackwardWarps = 16;
inline constexpr int kBiWkvScanThreads = 64;  // of a block of the scan

struct BiWkvInputs {
  ParameterRow w, u;  // [channels]
  const void *k, *v;  // [rows of the batch, time, channels]
  int64_t time, channels;
  int64_t spans, span_length;  // of a row; tokens
};

template <class io_t>
__device__ inline accumulate_t<io_t> bi_wkv_log_decay(const BiWkvInputs& in, int64_t channel) {
  using acc_t = accumulate_t<io_t>;
  // Finite, so that no difference is taken of infinities; the factor is 0 long before.
  constexpr acc_t kMost = static_cast<acc_t>(1e30);
  const acc_t w = load_parameter<io_t>(in.w.values, in.w.is_float, channel);
  return w > kMost ? -kMost : w < -kMost ? kMost : -w;
}

// Of [rows, spans, 2 sides, 3, channels], the sums over span `part` of all rows' spans as seen from one side (0: the
// token after it sees them on its left).
template <class acc_t>
__device__ inline acc_t* bi_wkv_span(const BiWkvInputs& in, acc_t* of_spans, int64_t part, int side, int64_t channel) {
  return of_spans + (part * 2 + side) * 3 * in.channels + channel;
}

// Sums over some tokens that follow each other: as the token after them sees them on its left, and the token before
// them on its right.
template <class acc_t>
struct BothSides {
  LogSums<acc_t> left, right;
};

// The tokens of a thread, and what it knows of the others. Functions that know of all of a block are for all its
// threads.
template <class io_t>
class BiWkvThread {
 public:
  using acc_t = accumulate_t<io_t>;

  __device__ explicit BiWkvThread(const BiWkvInputs& inputs) : in(inputs) {
    const int64_t channel_blocks = (in.channels + 31) / 32, own_channel = blockIdx.x % channel_blocks * 32 + lane();
    exists = own_channel < in.channels;
    channel = exists ? own_channel : in.channels - 1;  // reads what is there, and writes nothing
    part = blockIdx.x / channel_blocks;
    const int64_t row = part / in.spans, first = part % in.spans * in.span_length + warp() * kBiWkvTokens;
    const int64_t left = exists && first < in.time ? in.time - first : 0;
    count = static_cast<int>(left < kBiWkvTokens ? left : kBiWkvTokens);
    first_element = (row * in.time + first) * in.channels + channel;
    log_decay = bi_wkv_log_decay<io_t>(in, channel);
    u = load_parameter<io_t>(in.u.values, in.u.is_float, channel);
    load(in.v, 0, v);
    load(in.k, LogSums<acc_t>().exponent, k);
  }

  __device__ int64_t at(int i) const { return first_element + i * in.channels; }
  // Values of the thread's tokens; where there are none, `none`.
  __device__ void load(const void* from, acc_t none, acc_t (&to)[kBiWkvTokens]) const {
#pragma unroll
    for (int i = 0; i < kBiWkvTokens; ++i) {
      to[i] = i < count ? static_cast<acc_t>(static_cast<const io_t*>(from)[at(i)]) : none;
    }
  }
  // What the others read of token i.
  __device__ LogSums<acc_t> source(int i) const { return {k[i], {v[i], static_cast<acc_t>(i < count)}}; }

  // Given the sums over what is left of the thread's tokens, calls step(i, sums over what is left of token i); returns
  // the sums that the next token sees. Tokens that are not there are empty sums.
  template <class Source, class Step>
  __device__ LogSums<acc_t> from_left(LogSums<acc_t> sums, const Source& source, const Step& step) const {
#pragma unroll
    for (int i = 0; i < kBiWkvTokens; ++i) {
      step(i, sums);
      sums = add(decayed(sums, log_decay), source(i));
    }
    return sums;
  }
  template <class Source, class Step>
  __device__ LogSums<acc_t> from_right(LogSums<acc_t> sums, const Source& source, const Step& step) const {
#pragma unroll
    for (int i = kBiWkvTokens - 1; i >= 0; --i) {
      step(i, sums);
      sums = add(decayed(sums, log_decay), source(i));
    }
    return sums;
  }
  template <class Source>
  __device__ BothSides<acc_t> own_sums(const Source& source) const {
    const auto nothing = [](int, const LogSums<acc_t>&) {};
    return {from_left({}, source, nothing), from_right({}, source, nothing)};
  }

  // The sums over all tokens of the row on the left and on the right of the thread's, whose own sums are `own`.
  // of_spans: from the scan; null: of the block's tokens only.
  __device__ BothSides<acc_t> sums_of_others(const BothSides<acc_t>& own, acc_t* of_spans) const {
    BothSides<acc_t> sums;
    if (of_spans) {
      sums.left = load_log_sums(bi_wkv_span(in, of_spans, part, 0, channel), in.channels);
      sums.right = load_log_sums(bi_wkv_span(in, of_spans, part, 1, channel), in.channels);
    }
    __syncthreads();  // what was in shared memory has been read
    store_log_sums(shared(warp(), 0), 32, own.left);
    store_log_sums(shared(warp(), 1), 32, own.right);
    __syncthreads();
    const acc_t of_thread = kBiWkvTokens * log_decay;
    for (int i = 0; i < warp(); ++i) {
      sums.left = add(decayed(sums.left, of_thread), load_log_sums(shared(i, 0), 32));
    }
    for (int i = warps() - 1; i > warp(); --i) {
      sums.right = add(decayed(sums.right, of_thread), load_log_sums(shared(i, 1), 32));
    }
    return sums;
  }
  // The sums over the block's tokens, from the threads' own.
  __device__ void store_span(const BothSides<acc_t>& own, acc_t* of_spans) const {
    const BothSides<acc_t> others = sums_of_others(own, nullptr);
    const acc_t of_thread = kBiWkvTokens * log_decay;
    if (exists && warp() == warps() - 1) {
      store_log_sums(bi_wkv_span(in, of_spans, part, 0, channel), in.channels,
                     add(decayed(others.left, of_thread), own.left));
    }
    if (exists && warp() == 0) {
      store_log_sums(bi_wkv_span(in, of_spans, part, 1, channel), in.channels,
                     add(decayed(others.right, of_thread), own.right));
    }
  }
  // Adds up the warps' x, to [parts, channels].
  __device__ void store_sum(acc_t x, acc_t* parts) const {
    __syncthreads();
    *shared(warp(), 0) = x;
    __syncthreads();
    if (!exists || warp() > 0) return;
    for (int i = 1; i < warps(); ++i) x += *shared(i, 0);
    parts[part * in.channels + channel] = x;
  }

  const BiWkvInputs& in;
  bool exists;            // the channel
  int64_t channel, part;  // part: which span of which row the block is for
  int64_t first_element;  // of tensors [rows, time, channels]
  int count;              // of tokens
  acc_t log_decay, u;
  acc_t k[kBiWkvTokens], v[kBiWkvTokens];

 private:
  __device__ static int warps() { return static_cast<int>(blockDim.x / 32); }
  __device__ static int warp() { return static_cast<int>(threadIdx.x / 32); }
  __device__ static int lane() { return static_cast<int>(threadIdx.x % 32); }
  // [warps, 2 sides, 3, 32 lanes] in shared memory.
  __device__ acc_t* shared(int i, int side) const {
    return reinterpret_cast<acc_t*>(shared_memory()) + (i * 2 + side) * 3 * 32 + lane();
  }
};

// A token's output: what it reads of the others, and its own value v of the exponent `own_exponent`. Exactly v where
// there are no others.
template <class acc_t>
struct BiWkvRead {
  __device__ BiWkvRead(const LogSums<acc_t>& left, const LogSums<acc_t>& right, acc_t own_exponent, acc_t v) {
    const LogSums<acc_t> others = add(left, right);
    const RelativeExp<acc_t> weight(others.exponent, own_exponent);
    const Sums<acc_t> sums = weight.first * others.sums;
    top = weight.top;
    own = weight.second;
    scale = 1 / (sums.weights + own);
    less_v = fma(-v, sums.weights, sums.values) * scale;
    y = v + less_v;
  }
  acc_t top;                    // all weights are relative to e^top
  acc_t own, scale, less_v, y;  // of its own value; 1 / the sum of all weights; y - v
};

template <class io_t>
__global__ void __launch_bounds__(kBiWkvForwardWarps * 32)
    bi_wkv_spans_kernel(BiWkvInputs in, accumulate_t<io_t>* of_spans) {
  BiWkvThread<io_t> my(in);
  my.store_span(my.own_sums([&](int i) { return my.source(i); }), of_spans);
}

// From the sums over each span, those over all spans on that side of it; in place. A thread: a side of a row's channel.
template <class io_t>
__global__ void __launch_bounds__(kBiWkvScanThreads) bi_wkv_scan_kernel(BiWkvInputs in, accumulate_t<io_t>* of_spans) {
  using acc_t = accumulate_t<io_t>;
  const int64_t channel_blocks = (in.channels + blockDim.x - 1) / blockDim.x, group = blockIdx.x / channel_blocks;
  const int64_t channel = blockIdx.x % channel_blocks * blockDim.x + threadIdx.x, row = group / 2;
  const int side = static_cast<int>(group % 2);
  if (channel >= in.channels) return;
  const acc_t of_span = static_cast<acc_t>(in.span_length) * bi_wkv_log_decay<io_t>(in, channel);
  const auto at = [&](int64_t i) {
    return bi_wkv_span(in, of_spans, row * in.spans + (side == 0 ? i : in.spans - 1 - i), side, channel);
  };
  LogSums<acc_t> sums;
  pipelined_for(
      in.spans, [&](int64_t i) { return load_log_sums(at(i), in.channels); },
      [&](int64_t i, const LogSums<acc_t>& of_this) {
        store_log_sums(at(i), in.channels, sums);
        sums = add(decayed(sums, of_span), of_this);
      });
}

template <class io_t>
__global__ void __launch_bounds__(kBiWkvForwardWarps * 32)
    bi_wkv_forward_kernel(BiWkvInputs in, accumulate_t<io_t>* of_spans, io_t* y) {
  using acc_t = accumulate_t<io_t>;
  BiWkvThread<io_t> my(in);
  const auto source = [&](int i) { return my.source(i); };
  const BothSides<acc_t> others = my.sums_of_others(my.own_sums(source), of_spans);
  LogSums<acc_t> right[kBiWkvTokens];
  my.from_right(others.right, source, [&](int i, const LogSums<acc_t>& sums) { right[i] = sums; });
  my.from_left(others.left, source, [&](int i, const LogSums<acc_t>& left) {
    if (i < my.count) y[my.at(i)] = static_cast<io_t>(BiWkvRead<acc_t>(left, right[i], my.u + my.k[i], my.v[i]).y);
  });
}

}  // namespace wkv::cuda
