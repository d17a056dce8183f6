// The backward of sliding_window_attention: the entry that sliding_window_attention_isa.cpp puts into the kernel table.
//
// With g = dL/dy and m_ij = g_i . v_j:
//   dv_j = sum_i p_ij g_i;   ds_ij = p_ij (m_ij - sum_l p_il m_il);   dq_i = scale sum_j ds_ij k_j;
//   dk_j = scale sum_i ds_ij q_i
// Each tile of queries meets its keys twice: for the sums over keys of p and p m, then for the gradients. The sums of
// the keys that later tiles still see are carried along.
#pragma once
#include "sliding_window_attention/sliding_window_attention_forward_isa.h"

namespace wkv::WKV_ISA {

template <class acc_t>
struct WindowBackwardScratch : WindowTileScratch<acc_t> {
  WindowBackwardScratch(Arena& arena, int64_t head_size, int64_t keys_back, int64_t rows)
      : WindowTileScratch<acc_t>(arena, head_size) {
    const int64_t carried = rows < keys_back + kWindowQueries ? rows : keys_back + kWindowQueries;
    for (acc_t** matrix : {&g, &dq}) *matrix = arena.take<acc_t>(kWindowQueries * this->columns);
    g_elements = arena.take<acc_t>(head_size * kWindowQueries);
    for (acc_t** matrix : {&products, &ds}) *matrix = arena.take<acc_t>(kWindowKeys * kWindowQueries);
    mean = arena.take<acc_t>(kWindowQueries);
    for (acc_t** matrix : {&dk, &dv}) *matrix = arena.take<acc_t>(carried * this->columns);
  }
  acc_t *g, *dq;         // [query][columns]
  acc_t* g_elements;     // [head_size][query]
  acc_t *products, *ds;  // [key][query]: m and ds
  acc_t* mean;           // [query]: the sum of p m
  acc_t *dk, *dv;        // [row][columns] of the rows that queries still to come may see
};

template <class io_t>
int64_t window_backward_scratch(const WindowInputs& in, int64_t rows) {
  Arena arena(nullptr);
  WindowBackwardScratch<accumulate_t<io_t>>(arena, in.head_size, in.keys_back, rows);
  return arena.used();
}

template <class io_t>
class WindowBackward {
 public:
  using acc_t = accumulate_t<io_t>;

  WindowBackward(const WindowInputs& in, const WindowSequence& sequence, const WindowGradients& grad, void* scratch)
      : in_(in),
        sequence_(sequence),
        grad_(grad),
        arena_(scratch),
        my_(arena_, in.head_size, in.keys_back, sequence.past + sequence.length) {}

  void run() {
    for (int64_t first = 0; first < sequence_.length; first += Q) {
      const int64_t left = sequence_.length - first;
      const WindowQueries queries(in_, sequence_, first, left < Q ? left : Q);
      carry(queries.first_row, queries.row + queries.count);
      load_tile_of_queries(queries);
      for_key_tiles(queries, [&](int64_t key, int64_t keys) { sum_over_keys(queries, key, keys); });
      finish_sums();
      for_key_tiles(queries, [&](int64_t key, int64_t keys) { add_gradients(queries, key, keys); });
      for (int64_t t = 0; t < queries.count; ++t) {
        acc_t* const row = my_.dq + t * columns;
        for (int64_t c = 0; c < columns; ++c) row[c] *= static_cast<acc_t>(in_.scale);
        store_row(row, in_.head_size, row_of<io_t>(grad_.q, token_row(first + t)));
      }
    }
    carry(rows, rows);
  }

 private:
  static constexpr int64_t Q = kWindowQueries;
  static constexpr int W = kLanes<acc_t>;
  using V = Vec<acc_t>;

  int64_t token_row(int64_t token) const {
    return ((sequence_.first_token + token) * in_.heads + sequence_.head) * in_.head_size;
  }
  template <class Use>
  void for_key_tiles(const WindowQueries& queries, const Use& use) {
    const int64_t end = queries.row + queries.count;
    for (int64_t key = queries.first_row; key < end; key += kWindowKeys) {
      use(key, end - key < kWindowKeys ? end - key : kWindowKeys);
    }
  }

  void load_tile_of_queries(const WindowQueries& queries) {
    load_queries<io_t, acc_t>(in_, sequence_, queries, my_);
    load_matrix(row_of<io_t>(grad_.y, token_row(queries.first)), in_.heads * in_.head_size, queries.count,
                in_.head_size, acc_t{1}, Q, my_.g);
    transpose(my_.g, columns, Q, in_.head_size, my_.g_elements, Q);
    for (int64_t t = 0; t < Q; ++t) my_.mean[t] = 0;
    for (int64_t i = 0; i < Q * columns; ++i) my_.dq[i] = 0;
  }

  void multiply_tile(const WindowQueries& queries, int64_t key, int64_t keys) {
    load_keys<io_t, acc_t>(in_, sequence_, key, keys, my_);
    multiply_with_keys(queries, key, keys, my_.k, columns, in_.head_size, my_.q_elements, my_.scores);
    multiply_with_keys(queries, key, keys, my_.v, columns, in_.head_size, my_.g_elements, my_.products);
  }

  void sum_over_keys(const WindowQueries& queries, int64_t key, int64_t keys) {
    multiply_tile(queries, key, keys);
    exponentiate<acc_t>(queries, key, keys, my_);
    for (int64_t t = 0; t < Q; ++t) my_.mean[t] *= my_.factor[t];
    for_pairs<acc_t>(queries, key, keys, [&](int64_t s, int64_t c, auto seen) {
      const V mean = load(my_.mean + c), more = fma(load(my_.scores + s * Q + c), load(my_.products + s * Q + c), mean);
      store(my_.mean + c, seen ? more : mean);
    });
  }
  void finish_sums() {
    for (int64_t t = 0; t < Q; ++t) {
      my_.sum[t] = 1 / my_.sum[t];
      my_.mean[t] *= my_.sum[t];
    }
  }

  void add_gradients(const WindowQueries& queries, int64_t key, int64_t keys) {
    multiply_tile(queries, key, keys);
    for_pairs<acc_t>(queries, key, keys, [&](int64_t s, int64_t c, auto) {
      const V p = exp(load(my_.scores + s * Q + c) - load(my_.highest + c)) * load(my_.sum + c);
      store(my_.scores + s * Q + c, p);
      store(my_.ds + s * Q + c, p * (load(my_.products + s * Q + c) - load(my_.mean + c)));
    });
    const auto seen = [&](int64_t t) { return queries.seen(t, key, keys); };
    const auto seeing = [&](int64_t s) { return queries.seeing(key + s); };
    const Matrix<acc_t> dk{my_.dk + (key - start_) * columns, columns}, dv{my_.dv + (key - start_) * columns, columns};
    multiply_band(queries.count, LeftFactor<acc_t>{my_.ds, 1, Q}, Matrix<acc_t>{my_.k, columns}, columns,
                  Matrix<acc_t>{my_.dq, columns}, seen);
    multiply_band(keys, LeftFactor<acc_t>{my_.ds, Q, 1}, Matrix<acc_t>{my_.q, columns}, columns, dk, seeing);
    multiply_band(keys, LeftFactor<acc_t>{my_.scores, Q, 1}, Matrix<acc_t>{my_.g, columns}, columns, dv, seeing);
  }

  // From here on the sums are those of the rows first, ..., last - 1: the rows before are complete, new ones start at
  // 0.
  void carry(int64_t first, int64_t last) {
    for (int64_t row = start_; row < first; ++row) complete(row, row < end_);
    const int64_t kept = end_ > first ? (end_ - first) * columns : 0, moved = (first - start_) * columns;
    for (acc_t* sums : {my_.dk, my_.dv}) {
      for (int64_t i = 0; i < kept; ++i) sums[i] = sums[moved + i];
      for (int64_t i = kept; i < (last - first) * columns; ++i) sums[i] = 0;
    }
    start_ = first;
    end_ = last;
  }

  // Writes the gradients of a row; without sums, those of a row that no query saw.
  void complete(int64_t row, bool has_sums) {
    const int64_t in_window = row - rows + grad_.window, n = in_.head_size;
    const bool from_window = in_window >= 0 && row >= sequence_.first_real, is_past = row < sequence_.past;
    const auto add = [&](const acc_t* sums, const void* window, void* past, void* tokens) {
      if (is_past && !past) return;
      acc_t* const sum = my_.g;  // not in use between two tiles
      if (from_window) {
        load_row(row_of<io_t>(window, (in_window * in_.heads + sequence_.head) * n), n, sum);
      } else {
        for (int64_t c = 0; c < columns; ++c) sum[c] = 0;
      }
      for (int64_t c = 0; has_sums && c < columns; ++c) sum[c] += sums[(row - start_) * columns + c];
      const int64_t to = is_past ? (row * in_.heads + sequence_.head) * n : token_row(row - sequence_.past);
      store_row(sum, n, row_of<io_t>(is_past ? past : tokens, to));
    };
    add(my_.dk, grad_.window_k, grad_.past_k, grad_.k);
    add(my_.dv, grad_.window_v, grad_.past_v, grad_.v);
  }

  const WindowInputs in_;
  const WindowSequence sequence_;
  const WindowGradients grad_;
  Arena arena_;
  const WindowBackwardScratch<acc_t> my_;
  const int64_t columns = my_.columns, rows = sequence_.past + sequence_.length;
  int64_t start_ = 0, end_ = 0;  // the rows whose sums are in my_.dk and my_.dv
};

template <class io_t>
void window_backward(const WindowInputs& in, const WindowSequence& sequence, const WindowGradients& grad,
                     void* scratch) {
  WindowBackward<io_t>(in, sequence, grad, scratch).run();
}

}  // namespace wkv::WKV_ISA
