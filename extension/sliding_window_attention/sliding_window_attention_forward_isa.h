// The forward of sliding_window_attention: the entry that sliding_window_attention_isa.cpp puts into the kernel table;
// and the tiles that forward and backward go over.
//
// A tile of queries meets the keys that it sees a tile at a time. Scores stand as [key][query], so that all that
// happens to a query happens in one vector lane. Keys that a query does not see never enter its sums: neither their
// scores, which no sum reads, nor their values.
#pragma once
#include "core/arena.h"
#include "core/simd/product.h"
#include "sliding_window_attention/sliding_window_attention.h"

namespace wkv::WKV_ISA {

inline constexpr int64_t kWindowKeys = 32;  // in a tile

template <class acc_t>
struct WindowTileScratch {
  WindowTileScratch(Arena& arena, int64_t head_size) : columns(padded<acc_t>(head_size)) {
    q = arena.take<acc_t>(kWindowQueries * columns);
    q_elements = arena.take<acc_t>(head_size * kWindowQueries);
    for (acc_t** rows : {&k, &v}) *rows = arena.take<acc_t>(kWindowKeys * columns);
    scores = arena.take<acc_t>(kWindowKeys * kWindowQueries);
    for (acc_t** row : {&highest, &sum, &factor}) *row = arena.take<acc_t>(kWindowQueries);
  }
  int64_t columns;                // head_size, padded
  acc_t *q, *q_elements;          // [query][columns], [head_size][query]: times the scale
  acc_t *k, *v;                   // [key][columns]
  acc_t* scores;                  // [key][query]; then p, not yet divided by its sum
  acc_t *highest, *sum, *factor;  // [query]: the highest score so far, the sum of p relative to it
};

// The queries first, ..., first + count - 1 of a sequence, at the rows `row`, ... of the past and the tokens.
struct WindowQueries {
  WindowQueries(const WindowInputs& in, const WindowSequence& sequence, int64_t first_query, int64_t queries)
      : first(first_query),
        count(queries),
        row(sequence.past + first_query),
        keys_back(in.keys_back),
        first_row(row - keys_back > sequence.first_real ? row - keys_back : sequence.first_real) {}
  int64_t first, count, row, keys_back;
  int64_t first_row;  // the first row that one of them sees; the last is row + count - 1

  // The queries, counted from the first, that see the row ...
  Range seeing(int64_t key) const {
    const int64_t begin = key - row, end = begin + keys_back + 1;
    return {begin > 0 ? begin : 0, end < count ? end : count};
  }
  // ... in whole vectors of `lanes`; and the rows of a tile at `key` that a query sees.
  Range vectors_seeing(int64_t key, int64_t lanes) const {
    const Range queries = seeing(key);
    return {queries.begin / lanes * lanes, (queries.end + lanes - 1) / lanes * lanes};
  }
  Range seen(int64_t query, int64_t key, int64_t keys) const {
    const int64_t begin = row + query - keys_back - key, end = row + query + 1 - key;
    return {begin > 0 ? begin : 0, end < keys ? end : keys};
  }
};

// Where a row of the past and the tokens is in k or v.
template <class io_t>
inline const io_t* window_row(const WindowInputs& in, const WindowSequence& sequence, const void* past,
                              const void* tokens, int64_t row) {
  const bool is_past = row < sequence.past;
  const int64_t token = is_past ? row : sequence.first_token + row - sequence.past;
  return row_of<io_t>(is_past ? past : tokens, (token * in.heads + sequence.head) * in.head_size);
}

template <class io_t, class acc_t>
inline void load_queries(const WindowInputs& in, const WindowSequence& sequence, const WindowQueries& queries,
                         const WindowTileScratch<acc_t>& my) {
  const int64_t first = ((sequence.first_token + queries.first) * in.heads + sequence.head) * in.head_size;
  load_matrix(row_of<io_t>(in.q, first), in.heads * in.head_size, queries.count, in.head_size,
              static_cast<acc_t>(in.scale), kWindowQueries, my.q);
  transpose(my.q, my.columns, kWindowQueries, in.head_size, my.q_elements, kWindowQueries);
  for (int64_t t = 0; t < kWindowQueries; ++t) {
    my.highest[t] = -__builtin_huge_val();
    my.sum[t] = 0;
  }
}

template <class io_t, class acc_t>
inline void load_keys(const WindowInputs& in, const WindowSequence& sequence, int64_t key, int64_t keys,
                      const WindowTileScratch<acc_t>& my) {
  for (int64_t s = 0; s < keys; ++s) {
    load_row(window_row<io_t>(in, sequence, sequence.past_k, in.k, key + s), in.head_size, my.k + s * my.columns);
    load_row(window_row<io_t>(in, sequence, sequence.past_v, in.v, key + s), in.head_size, my.v + s * my.columns);
  }
}

// products[s][t] = rows_s . x_t, for the rows of a tile of keys and x as [head_size][query], where t may see s.
template <class acc_t>
inline void multiply_with_keys(const WindowQueries& queries, int64_t key, int64_t keys, const acc_t* rows,
                               int64_t columns, int64_t head_size, acc_t* x, acc_t* products) {
  constexpr int64_t Q = kWindowQueries;
  constexpr int64_t kTogether = 8;
  for (int64_t s = 0; s < keys; s += kTogether) {
    const int64_t n = keys - s < kTogether ? keys - s : kTogether;
    const int64_t begin = queries.vectors_seeing(key + s, kLanes<acc_t>).begin,
                  end = queries.vectors_seeing(key + s + n - 1, kLanes<acc_t>).end;
    multiply<Into::kZero>(n, LeftFactor<acc_t>{rows + s * columns, columns, 1}, Matrix<acc_t>{x + begin, Q}, head_size,
                          end - begin, Matrix<acc_t>{products + s * Q + begin, Q});
  }
}

// Calls use(s, c, seen) for each key s of a tile and each vector of queries c, ... that may see it.
template <class acc_t, class Use>
inline void for_pairs(const WindowQueries& queries, int64_t key, int64_t keys, const Use& use) {
  for (int64_t s = 0; s < keys; ++s) {
    const Range lanes = queries.vectors_seeing(key + s, kLanes<acc_t>), exact = queries.seeing(key + s);
    for (int64_t c = lanes.begin; c < lanes.end; c += kLanes<acc_t>) {
      const auto lane = lane_numbers<acc_t>() + static_cast<acc_t>(c);
      use(s, c, (lane >= static_cast<acc_t>(exact.begin)) & (lane < static_cast<acc_t>(exact.end)));
    }
  }
}

// The scores of a tile of keys become p relative to the highest score so far; my.factor: that of the sums so far.
template <class acc_t>
inline void exponentiate(const WindowQueries& queries, int64_t key, int64_t keys, const WindowTileScratch<acc_t>& my) {
  constexpr int64_t Q = kWindowQueries;
  constexpr int W = kLanes<acc_t>;
  using V = Vec<acc_t>;
  const V zero = {}, lowest = broadcast(static_cast<acc_t>(-__builtin_huge_val()));
  for (int64_t c = 0; c < Q; c += W) store(my.factor + c, load(my.highest + c));
  for_pairs<acc_t>(queries, key, keys, [&](int64_t s, int64_t c, auto seen) {
    const V score = load(my.scores + s * Q + c), highest = load(my.highest + c);
    store(my.highest + c, (seen & (score > highest)) ? score : highest);
  });
  for (int64_t c = 0; c < Q; c += W) {
    const V highest = load(my.highest + c);
    store(my.factor + c, exp(load(my.factor + c) - (highest == lowest ? zero : highest)));
    store(my.sum + c, load(my.sum + c) * load(my.factor + c));
  }
  for_pairs<acc_t>(queries, key, keys, [&](int64_t s, int64_t c, auto seen) {
    const V highest = load(my.highest + c), p = exp(load(my.scores + s * Q + c) - (highest == lowest ? zero : highest));
    store(my.scores + s * Q + c, seen ? p : zero);
    store(my.sum + c, load(my.sum + c) + (seen ? p : zero));
  });
}

template <class acc_t>
struct WindowForwardScratch : WindowTileScratch<acc_t> {
  WindowForwardScratch(Arena& arena, int64_t head_size) : WindowTileScratch<acc_t>(arena, head_size) {
    y = arena.take<acc_t>(kWindowQueries * this->columns);
  }
  acc_t* y;  // [query][columns]
};

template <class io_t>
int64_t window_forward_scratch(const WindowInputs& in) {
  Arena arena(nullptr);
  WindowForwardScratch<accumulate_t<io_t>>(arena, in.head_size);
  return arena.used();
}

template <class io_t>
void window_forward(const WindowInputs& in, const WindowSequence& sequence, void* y, int64_t first, int64_t last,
                    void* scratch) {
  using acc_t = accumulate_t<io_t>;
  constexpr int W = kLanes<acc_t>;
  Arena arena(scratch);
  const WindowForwardScratch<acc_t> my(arena, in.head_size);
  const WindowQueries queries(in, sequence, first, last - first);
  const Matrix<acc_t> sums{my.y, my.columns};

  load_queries<io_t, acc_t>(in, sequence, queries, my);
  for (int64_t i = 0; i < queries.count * my.columns; ++i) my.y[i] = 0;
  const auto scale_rows = [&](const auto& factor) {
    for (int64_t t = 0; t < queries.count; ++t) {
      for (int64_t c = 0; c < my.columns; c += W) store(sums[t] + c, load(sums[t] + c) * broadcast(factor(t)));
    }
  };
  for (int64_t key = queries.first_row, end = queries.row + queries.count; key < end; key += kWindowKeys) {
    const int64_t keys = end - key < kWindowKeys ? end - key : kWindowKeys;
    load_keys<io_t, acc_t>(in, sequence, key, keys, my);
    multiply_with_keys(queries, key, keys, my.k, my.columns, in.head_size, my.q_elements, my.scores);
    exponentiate(queries, key, keys, my);
    if (key > queries.first_row) scale_rows([&](int64_t t) { return my.factor[t]; });
    multiply_band(queries.count, LeftFactor<acc_t>{my.scores, 1, kWindowQueries}, Matrix<acc_t>{my.v, my.columns},
                  my.columns, sums, [&](int64_t t) { return queries.seen(t, key, keys); });
  }
  scale_rows([&](int64_t t) { return 1 / my.sum[t]; });
  for (int64_t t = 0; t < queries.count; ++t) {
    store_row(sums[t], in.head_size,
              row_of<io_t>(y, ((sequence.first_token + first + t) * in.heads + sequence.head) * in.head_size));
  }
}

}  // namespace wkv::WKV_ISA
