// The features of based_linear_attention and its states, packed and as they are in memory: what forward and backward
// share. The features of x are the products x_i x_j, i <= j, of x_0, ..., x_(d-1) and x_d = 1, in the order of (i, j).
#pragma once
#include "based_linear_attention/based_linear_attention.h"
#include "core/arena.h"
#include "core/simd/product.h"

namespace wkv::WKV_ISA {

inline int64_t based_features(int64_t d) { return (d + 1) * (d + 2) / 2; }
inline int64_t based_full_features(int64_t d) { return 1 + d + d * d; }

// The features (i, j) for first <= i < last, `count` of them from `feature` on. They are taken through a chunk
// together, so that they and their part of the state stay in the first-level cache.
struct BasedBlock {
  int64_t first, last, feature, count;
};
inline constexpr int64_t kBasedBlockFeatures = 32;  // at least, in a block that is not the last
inline int64_t based_largest_block(int64_t d) { return kBasedBlockFeatures + d; }

template <class Use>
inline void for_feature_blocks(int64_t d, const Use& use) {
  for (BasedBlock block{0, 0, 0, 0}; block.last <= d; use(block)) {
    block = {block.last, block.last, block.feature + block.count, 0};
    while (block.last <= d && block.count < kBasedBlockFeatures) block.count += d + 1 - block.last++;
  }
}

// --- a chunk of tokens ---

// Where the rows of token t of the sequence start.
struct BasedRows {
  BasedRows(const BasedInputs& in, const BasedSequence& sequence, int64_t t) {
    const int64_t row = (sequence.first_token + t) * in.heads + sequence.head;
    feature = row * in.feature_size;
    value = row * in.value_size;
  }
  int64_t feature, value;
};

// Rows of `size` elements of n tokens, `stride` apart, transposed and times `scale`: to[i][t], zeros for t >= n.
template <class io_t, class acc_t>
inline void load_transposed(const io_t* from, int64_t stride, int64_t n, int64_t size, acc_t scale, acc_t* buffer,
                            acc_t* to) {
  load_matrix(from, stride, n, size, scale, kBasedChunk, buffer);
  transpose(buffer, padded<acc_t>(size), kBasedChunk, size, to, kBasedChunk);
}
template <class io_t, class acc_t>
inline void store_transposed(const acc_t* from, int64_t n, int64_t size, acc_t* buffer, io_t* to, int64_t stride) {
  const int64_t width = padded<acc_t>(size);
  transpose(from, kBasedChunk, size, n, buffer, width);
  for (int64_t t = 0; t < n; ++t) store_row(buffer + t * width, size, to + t * stride);
}

// The elements of q or k of a chunk, x[i][t], with the row x_d of ones for the n tokens.
template <class io_t, class acc_t>
inline void load_elements(const io_t* from, int64_t stride, int64_t n, int64_t d, acc_t scale, acc_t* buffer,
                          acc_t* x) {
  load_transposed(from, stride, n, d, scale, buffer, x);
  for (int64_t t = 0; t < kBasedChunk; ++t) x[d * kBasedChunk + t] = t < n ? 1 : 0;
}

// features[p][t] = x_i x_j, for the block; of squares but 1 * 1 times square_factor.
template <class acc_t>
inline void multiply_pairs(const acc_t* x, int64_t d, const BasedBlock& block, acc_t square_factor, acc_t* features) {
  constexpr int W = kLanes<acc_t>;
  for (int64_t i = block.first; i < block.last; ++i) {
    for (int64_t c = 0; c < kBasedChunk; c += W) {
      const Vec<acc_t> left = load(x + i * kBasedChunk + c);
      acc_t* to = features + c;
      store(to, i < d ? square_factor * left * left : left);
      for (int64_t j = i + 1; j <= d; ++j) store(to + (j - i) * kBasedChunk, left * load(x + j * kBasedChunk + c));
    }
    features += (d + 1 - i) * kBasedChunk;
  }
}

// dx[i][t] += the sum over the pairs of the block with the gradients gradient(p, t) of the features, p from 0 on.
template <class acc_t, class Gradient>
inline void multiply_pairs_backward(const acc_t* x, int64_t d, const BasedBlock& block, acc_t square_factor,
                                    const Gradient& gradient, acc_t* dx) {
  constexpr int W = kLanes<acc_t>;
  using V = Vec<acc_t>;
  int64_t p = 0;
  for (int64_t i = block.first; i < block.last && i < d; p += d + 1 - i, ++i) {
    for (int64_t c = 0; c < kBasedChunk; c += W) {
      const V left = load(x + i * kBasedChunk + c);
      V sum = fma(2 * square_factor * left, gradient(p, c), load(dx + i * kBasedChunk + c));
      for (int64_t j = i + 1; j < d; ++j) {
        const V g = gradient(p + j - i, c);
        sum = fma(g, load(x + j * kBasedChunk + c), sum);
        acc_t* const other = dx + j * kBasedChunk + c;
        store(other, fma(g, left, load(other)));
      }
      store(dx + i * kBasedChunk + c, sum + gradient(p + d - i, c));
    }
  }
}

// sums[p] += the sum over the chunk of features[p][t] * weights[t], without weights: 1. Space is needed behind the
// sums.
template <class acc_t>
inline void add_over_tokens(const acc_t* features, int64_t count, const acc_t* weights, acc_t* sums) {
  constexpr int W = kLanes<acc_t>;
  using V = Vec<acc_t>;
  for (int64_t p = 0; p < count; p += W) {
    V rows[W] = {};
    for (int64_t r = 0; r < W && p + r < count; ++r) {
      const acc_t* row = features + (p + r) * kBasedChunk;
      for (int64_t c = 0; c < kBasedChunk; c += W) {
        rows[r] = weights ? fma(load(row + c), load(weights + c), rows[r]) : rows[r] + load(row + c);
      }
    }
    store(sums + p, load(sums + p) + sums_of_rows(rows));
  }
}

// The rows of a chunk that is soon to be read, asked for a few at a time while an earlier chunk is computed: rows of a
// head are too far apart for the hardware to foresee, and all of them at once are more lines than a core can wait for.
template <class io_t>
class BasedPrefetch {
 public:
  // Of the tokens t, ..., t + kBasedChunk - 1: q, k and two tensors of values.
  BasedPrefetch(const BasedInputs& in, const BasedSequence& sequence, int64_t t, const void* values_1,
                const void* values_2)
      : in_(in),
        sequence_(sequence),
        values_{values_1, values_2},
        next_(t < 0 ? 0 : t),
        end_(t + kBasedChunk < sequence.length ? t + kBasedChunk : sequence.length) {}

  // A part of them: to be called four times in each block of features.
  [[gnu::always_inline]] void operator()() {
    for (int64_t i = 0; i < kTokens && next_ < end_; ++i, ++next_) {
      const BasedRows at(in_, sequence_, next_);
      prefetch_row(row_of<io_t>(in_.q, at.feature), in_.feature_size);
      prefetch_row(row_of<io_t>(in_.k, at.feature), in_.feature_size);
      for (const void* values : values_) prefetch_row(row_of<io_t>(values, at.value), in_.value_size);
    }
  }

 private:
  static constexpr int64_t kTokens = 2;
  const BasedInputs& in_;
  const BasedSequence sequence_;
  const void* const values_[2];
  int64_t next_;
  const int64_t end_;
};

// --- states ---

// Factors between the rows of the features in memory and the packed ones; `pair` is that of the sum of (i, j) and
// (j, i), or of each of them.
template <class acc_t>
struct BasedScales {
  acc_t single, square, pair;

  static BasedScales to_packed(int64_t d) {
    const double root = __builtin_sqrt(static_cast<double>(d)), second = __builtin_sqrt(2.0) * root;
    return {static_cast<acc_t>(__builtin_sqrt(root)), static_cast<acc_t>(second), static_cast<acc_t>(second / 2)};
  }
  static BasedScales to_full(int64_t d) {
    const double root = __builtin_sqrt(static_cast<double>(d)), second = __builtin_sqrt(2.0) * root;
    return {static_cast<acc_t>(1 / __builtin_sqrt(root)), static_cast<acc_t>(1 / second),
            static_cast<acc_t>(1 / second)};
  }
};

// The packed rows of `full`, whose rows (i, j), i < j, become (full_ij - full_ji) / 2: what is not symmetric in a state
// that is given is neither read by a query nor changed by a token, and goes into the state after as it is.
template <class acc_t>
inline void pack_state(acc_t* full, int64_t d, const BasedScales<acc_t>& scales, int64_t columns, acc_t* packed) {
  for (int64_t i = 0; i < d; ++i) {
    for (int64_t j = i; j < d; ++j, packed += columns) {
      acc_t* const upper = full + (1 + d + i * d + j) * columns;
      const acc_t* const lower = full + (1 + d + j * d + i) * columns;
      for (int64_t c = 0; c < columns; ++c) {
        const acc_t x = upper[c], y = lower[c];
        packed[c] = i == j ? x * scales.square : (x + y) * scales.pair;
        upper[c] = (x - y) / 2;
      }
    }
    for (int64_t c = 0; c < columns; ++c) packed[c] = full[(1 + i) * columns + c] * scales.single;
    packed += columns;
  }
  for (int64_t c = 0; c < columns; ++c) packed[c] = full[c];
}

// Back into `full` as pack_state left it.
template <class acc_t>
inline void unpack_state(const acc_t* packed, int64_t d, const BasedScales<acc_t>& scales, int64_t columns,
                         acc_t* full) {
  for (int64_t i = 0; i < d; ++i) {
    for (int64_t j = i; j < d; ++j, packed += columns) {
      acc_t* const upper = full + (1 + d + i * d + j) * columns;
      acc_t* const lower = full + (1 + d + j * d + i) * columns;
      for (int64_t c = 0; c < columns; ++c) {
        const acc_t half = upper[c], x = packed[c] * (i == j ? scales.square : scales.pair);
        lower[c] = x - half;
        upper[c] = x + half;
      }
    }
    for (int64_t c = 0; c < columns; ++c) full[(1 + i) * columns + c] = packed[c] * scales.single;
    packed += columns;
  }
  for (int64_t c = 0; c < columns; ++c) full[c] = packed[c];
}

// A state of one head, or its gradient, for the values first_value, ..., first_value + values - 1.
template <class acc_t>
struct BasedStateScratch {
  BasedStateScratch(Arena& arena, int64_t d, int64_t value_count)
      : feature_size(d), values(value_count), columns(padded<acc_t>(value_count)) {
    kv = arena.take<acc_t>(based_features(d) * columns);
    k = arena.take<acc_t>(based_features(d) + kLanes<acc_t>);
    full_kv = arena.take<acc_t>(based_full_features(d) * columns);
    full_k = arena.take<acc_t>(based_full_features(d));
  }

  void load_state(const BasedState<const void*>& from, int64_t first_value, const BasedScales<acc_t>& scales) const {
    const int64_t D = based_full_features(feature_size);
    if (from.kv) {
      transpose(row_of<acc_t>(from.kv, first_value * D), D, values, D, full_kv, columns);
    } else {
      for (int64_t i = 0; i < D * columns; ++i) full_kv[i] = 0;
    }
    for (int64_t i = 0; i < D; ++i) full_k[i] = from.k ? row_of<acc_t>(from.k, 0)[i] : 0;
    pack_state(full_kv, feature_size, scales, columns, kv);
    pack_state(full_k, feature_size, scales, 1, k);
  }
  // Each of the two by itself, where it is wanted; `full_kv` and `full_k` are as load_state left them.
  void store_state(const BasedState<void*>& to, int64_t first_value, const BasedScales<acc_t>& scales) const {
    const int64_t D = based_full_features(feature_size);
    if (to.kv) {
      unpack_state(kv, feature_size, scales, columns, full_kv);
      transpose(full_kv, columns, D, values, row_of<acc_t>(to.kv, first_value * D), D);
    }
    if (to.k) {
      unpack_state(k, feature_size, scales, 1, full_k);
      for (int64_t i = 0; i < D; ++i) row_of<acc_t>(to.k, 0)[i] = full_k[i];
    }
  }

  // The state after no token.
  void copy_state(const BasedState<const void*>& from, const BasedState<void*>& to, int64_t first_value) const {
    const auto copy = [](const void* source, void* target, int64_t offset, int64_t count) {
      if (!target) return;
      acc_t* const row = row_of<acc_t>(target, offset);
      for (int64_t i = 0; i < count; ++i) row[i] = source ? row_of<acc_t>(source, offset)[i] : 0;
    };
    const int64_t D = based_full_features(feature_size);
    copy(from.kv, to.kv, first_value * D, values * D);
    copy(from.k, to.k, 0, D);
  }

  int64_t feature_size, values, columns;
  acc_t* kv;                // [features][columns]
  acc_t* k;                 // [features]
  acc_t *full_kv, *full_k;  // [1 + d + d^2][columns], [1 + d + d^2]
};

template <class acc_t>
int64_t based_state_scratch(int64_t d, int64_t values) {
  Arena arena(nullptr);
  BasedStateScratch<acc_t>(arena, d, values);
  return arena.used();
}

// The state of the head `h` after the one given.
template <class acc_t, class Pointer>
inline BasedState<Pointer> head_state(const BasedInputs& in, const BasedState<Pointer>& first, int64_t h) {
  const int64_t D = based_full_features(in.feature_size);
  return {first.kv ? row_of<acc_t>(first.kv, h * in.value_size * D) : nullptr,
          first.k ? row_of<acc_t>(first.k, h * D) : nullptr};
}

}  // namespace wkv::WKV_ISA
