// What the kernels of sliding_window_attention share: the rows of keys and values of a head, tiles of them, and the
// window after the tokens. See sliding_window_attention.h.
#pragma once
#include "core/cuda/platform.cuh"
#include "core/cuda/sequences.cuh"

namespace wkv::cuda {

template <class io_t>
struct WindowCall {
  Sequences sequences;
  const int64_t* past_lengths;  // [rows]; null: all of the past is real
  int64_t heads, past, keys_back;
  int size;
  double scale;
  const io_t *q, *k, *v, *past_k, *past_v;
};

// One head of one sequence. Row n is past row n for n < past, else token n - past.
template <class io_t>
struct WindowHead {
  const WindowCall<io_t>& call;
  int64_t row, head;
  Sequence sequence;
  int64_t rows, first_real;  // no query sees the rows before

  // Lengths that lie on the device were not checked: whatever they are, rows are within the past.
  __device__ WindowHead(const WindowCall<io_t>& call_, int64_t row_, int64_t head_)
      : call(call_), row(row_), head(head_), sequence(call.sequences[row]), rows(call.past + sequence.length) {
    const int64_t real = call.past_lengths ? call.past_lengths[row] : call.past;
    first_real = real < 0 ? call.past : real > call.past ? 0 : call.past - real;
  }
  __device__ int64_t token(int64_t t) const { return (sequence.first_token + t) * call.heads + head; }
  __device__ int64_t past_row(int64_t n) const { return (row * call.past + n) * call.heads + head; }
  template <class T>
  __device__ T* at(int64_t n, T* past, T* tokens) const {
    return n < call.past ? past + past_row(n) * call.size : tokens + token(n - call.past) * call.size;
  }
  __device__ const io_t* key(int64_t n) const { return at(n, call.past_k, call.k); }
  __device__ const io_t* value(int64_t n) const { return at(n, call.past_v, call.v); }
  // The first row that the query at row n sees; the last is n.
  __device__ int64_t first_seen(int64_t n) const {
    return n - call.keys_back > first_real ? n - call.keys_back : first_real;
  }
};

// Rows in tiles of `size`: those of `past` rows and the tokens of each sequence. Where the lengths are only known on
// the device, a sequence is given as many tiles as it may need.
struct WindowTiles {
  int64_t size, past;

  int64_t count(const Sequences& all) const {
    if (!all.bounds) return all.count * tiles_of(past + all.row_length);
    return all.tokens / size + all.count * (tiles_of(past) + 1);
  }
  struct Tile {
    int64_t row, first;  // of the sequences; of the rows of the sequence: there may be none there
  };
  __device__ Tile operator()(const Sequences& all, int64_t tile) const {
    int64_t row = 0;
    for (int64_t last = all.count - 1; row < last;) {
      const int64_t middle = (row + last + 1) / 2;
      if (first_tile(all, middle) <= tile) {
        row = middle;
      } else {
        last = middle - 1;
      }
    }
    const int64_t first = (tile - first_tile(all, row)) * size;
    return {row, first < 0 ? 0 : first};
  }

 private:
  __host__ __device__ int64_t tiles_of(int64_t rows) const { return (rows + size - 1) / size; }
  __device__ int64_t first_tile(const Sequences& all, int64_t row) const {
    if (!all.bounds) return row * tiles_of(past + all.row_length);
    return all[row].first_token / size + row * (tiles_of(past) + 1);
  }
};

// Of the softmax of each query, arrays [tokens, heads]: p_ij = exp(score - highest) * inverse.
template <class acc_t>
struct WindowSums {
  acc_t *highest, *inverse;
  acc_t* mean;  // the sum over j of p_ij g_i . v_j
};

// The gradients that the rows of keys and values are given.
template <class io_t>
struct WindowGradients {
  const io_t *y, *window_k, *window_v;  // of the outputs; window: [rows, window, heads, size]
  int64_t window;
  io_t *q, *k, *v, *past_k, *past_v;  // past: null where there is none

  // The element of dL/dwindow_k or dL/dwindow_v that is a part of the gradient of row n.
  template <class acc_t>
  __device__ acc_t of_window(const WindowHead<io_t>& head, const io_t* window_rows, int64_t n, int c) const {
    const int64_t place = n - head.rows + window;
    if (place < 0 || n < head.first_real) return 0;
    return static_cast<acc_t>(
        window_rows[((head.row * window + place) * head.call.heads + head.head) * head.call.size + c]);
  }
};

// The highest score so far, and the factor of sums that are relative to the one before.
template <class acc_t>
struct WindowHighest {
  acc_t score = -INFINITY;

  __device__ acc_t base() const { return score == -INFINITY ? acc_t{0} : score; }
  __device__ acc_t raise(acc_t to) {
    const acc_t before = score;
    if (to > score) score = to;
    return exponential(before - base());
  }
};

// The last `window` keys and values of each sequence; zeros for what is not real.
template <class io_t>
__global__ void window_rows_kernel(WindowCall<io_t> call, int64_t window, io_t* window_k, io_t* window_v) {
  const int64_t channels = call.heads * call.size, all = call.sequences.count * window * channels;
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < all; i += stride) {
    const int64_t row = i / channels / window, place = i / channels % window, c = i % call.size;
    const WindowHead<io_t> head(call, row, i / call.size % call.heads);
    const int64_t n = head.rows - window + place;
    const bool real = n >= head.first_real;
    window_k[i] = real ? head.key(n)[c] : io_t(0);
    window_v[i] = real ? head.value(n)[c] : io_t(0);
  }
}

}  // namespace wkv::cuda
