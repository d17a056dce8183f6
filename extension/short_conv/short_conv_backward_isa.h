// The backward of short_conv: the entry that short_conv_isa.cpp puts into the kernel table.
//
// With g = dL/dz (dL/dy, times the slope of silu at the recomputed z):
//   dx_s = sum_j w_j g_{s + (K - 1) - j},   dw_j = sum_t g_t x_{t - (K - 1) + j},   dbias = sum_t g_t
// dx_s is complete when g of the token s + K - 1 is known; so the sweep goes K - 1 tokens beyond the end, with g = 0,
// and begins with dx of the state.
#pragma once
#include "short_conv/short_conv_forward_isa.h"

namespace wkv::WKV_ISA {

template <class acc_t>
struct ShortConvBackwardScratch : ShortConvScratch<acc_t> {
  ShortConvBackwardScratch(Arena& arena, int64_t K) : ShortConvScratch<acc_t>(arena, K) {
    g = arena.take<acc_t>((K - 1 + kShortConvTokens) * kShortConvChannels);
    for (acc_t** rows : {&dweight, &after, &before}) *rows = arena.take<acc_t>(K * kShortConvChannels);
    dbias = arena.take<acc_t>(kShortConvChannels);
  }
  acc_t* g;                // [kernel_size - 1 + kShortConvTokens][columns]: as the window, after K - 1 earlier rows
  acc_t *dweight, *dbias;  // [kernel_size][columns], [columns]: sums over all tokens so far
  acc_t *after, *before;   // [kernel_size][columns]: the gradients of the states
};

template <class io_t>
int64_t short_conv_backward_scratch(const ShortConvInputs& in) {
  Arena arena(nullptr);
  ShortConvBackwardScratch<accumulate_t<io_t>>(arena, in.kernel_size);
  return arena.used();
}

template <class io_t>
class ShortConvBackward {
 public:
  using acc_t = accumulate_t<io_t>;

  ShortConvBackward(const ShortConvInputs& in, const ShortConvGradients& grad, const ShortConvChannels& part,
                    void* scratch)
      : in_(in), grad_(grad), part_(part), arena_(scratch), my_(arena_, in.kernel_size) {
    load_parameters<io_t, acc_t>(in_, part_, my_);
    for (int64_t i = 0; i < K * columns; ++i) my_.dweight[i] = 0;
    for (int64_t c = 0; c < columns; ++c) my_.dbias[c] = 0;
  }

  // after, before: the gradients of the states of this sequence.
  void add_sequence(const ShortConvSequence& sequence, const void* after, void* before) {
    const int64_t T = sequence.length;
    load_state_rows(sequence.state_before, K, part_, my_.window);
    load_state_rows(after, K, part_, my_.after);
    for (int64_t i = 0; i < (K - 1) * columns; ++i) my_.g[i] = 0;
    for (int64_t c = 0; c < columns; ++c) my_.before[c] = T == 0 ? my_.after[c] : 0;  // no token reads the oldest

    const int64_t length = T + K - 1;
    for (int64_t t = 0; t < length; t += kShortConvTokens) {
      const int64_t m = length - t < kShortConvTokens ? length - t : kShortConvTokens;
      const int64_t n = T - t < m ? (T > t ? T - t : 0) : m;  // tokens; the rest is beyond the end
      load_tokens(sequence, t, n);
      for (int64_t i = n * columns; i < m * columns; ++i) my_.g[(K - 1) * columns + i] = 0;
      sum_parameters(n);
      for (int64_t i = 0; i < m; ++i) input_gradient(sequence, t, i);
      for (int64_t i = 0; i < K * columns; ++i) my_.window[i] = my_.window[m * columns + i];
      for (int64_t i = 0; i < (K - 1) * columns; ++i) my_.g[i] = my_.g[m * columns + i];
    }
    if (before) store_state_rows(my_.before, K, part_, before);
  }

  void store_parameters() {
    transpose(my_.dweight, columns, K, values, my_.buffer, K);
    store_parameter(my_.buffer, in_.float_weight, part_.first * K, values * K, grad_.weight);
    if (grad_.bias) store_parameter(my_.dbias, in_.float_bias, part_.first, values, grad_.bias);
  }

 private:
  static constexpr int W = kLanes<acc_t>;
  using V = Vec<acc_t>;

  static void store_parameter(const acc_t* from, bool is_float, int64_t offset, int64_t n, void* to) {
    if (!is_float) {
      store_row(from, n, row_of<io_t>(to, offset));
    } else {
      for (int64_t i = 0; i < n; ++i) row_of<float>(to, offset)[i] = static_cast<float>(from[i]);
    }
  }
  int64_t offset(const ShortConvSequence& sequence, int64_t t) const {
    return (sequence.first_token + t) * in_.channels + part_.first;
  }

  // x and g of the tokens t, ..., t + n - 1.
  void load_tokens(const ShortConvSequence& sequence, int64_t t, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = offset(sequence, t + i),
                    ahead = offset(sequence, t + i + kShortConvTokens < sequence.length ? t + i + kShortConvTokens
                                                                                        : sequence.length - 1);
      prefetch_row(row_of<io_t>(in_.x, ahead), values);
      prefetch_row(row_of<io_t>(grad_.y, ahead), values);
      acc_t* const g = my_.g + (K - 1 + i) * columns;
      load_row(row_of<io_t>(in_.x, at), values, my_.window + (K + i) * columns);
      load_row(row_of<io_t>(grad_.y, at), values, g);
      for (int64_t c = 0; in_.silu && c < columns; c += W) {
        const V z = convolve<acc_t>(my_, K, columns, my_.window + (i + 1) * columns, c);
        const V gate = acc_t{1} / (acc_t{1} + exp(-z));
        store(g + c, load(g + c) * gate * fma(z, acc_t{1} - gate, broadcast(acc_t{1})));
      }
    }
  }

  void sum_parameters(int64_t n) {
    for (int64_t c = 0; c < columns; c += W) {
      const acc_t* const g = my_.g + (K - 1) * columns + c;
      V dbias = {};
      for (int64_t i = 0; i < n; ++i) dbias += load(g + i * columns);
      store(my_.dbias + c, load(my_.dbias + c) + dbias);
      for (int64_t j = 0; j < K; ++j) {
        V dweight = {};
        for (int64_t i = 0; i < n; ++i) {
          dweight = fma(load(g + i * columns), load(my_.window + (i + 1 + j) * columns + c), dweight);
        }
        acc_t* const sum = my_.dweight + j * columns + c;
        store(sum, load(sum) + dweight);
      }
    }
  }

  // dx of the token t + i - (K - 1), of which the first K - 1 are those of the state.
  void input_gradient(const ShortConvSequence& sequence, int64_t t, int64_t i) {
    const int64_t s = t + i - (K - 1), in_state_after = s - (sequence.length - K);
    acc_t* const to = s < 0 ? my_.before + (K + s) * columns : my_.row;
    for (int64_t c = 0; c < columns; c += W) {
      V dx = in_state_after >= 0 ? load(my_.after + in_state_after * columns + c) : V{};
      for (int64_t j = 0; j < K; ++j) {
        dx = fma(load(my_.weight + j * columns + c), load(my_.g + (K - 1 + i - j) * columns + c), dx);
      }
      store(to + c, dx);
    }
    if (s >= 0) store_row(my_.row, values, row_of<io_t>(grad_.x, offset(sequence, s)));
  }

  const ShortConvInputs in_;
  const ShortConvGradients grad_;
  const ShortConvChannels part_;
  Arena arena_;
  const ShortConvBackwardScratch<acc_t> my_;
  const int64_t K = in_.kernel_size, values = part_.last - part_.first, columns = padded<acc_t>(values);
};

template <class io_t>
void short_conv_backward(const ShortConvInputs& in, const ShortConvSequence* sequences, int64_t count,
                         const ShortConvGradients& grad, const ShortConvChannels& part, void* scratch) {
  using acc_t = accumulate_t<io_t>;
  const int64_t state = in.channels * in.kernel_size;
  ShortConvBackward<io_t> backward(in, grad, part, scratch);
  for (int64_t i = 0; i < count; ++i) {
    backward.add_sequence(sequences[i], row_of<acc_t>(grad.state_after, i * state),
                          grad.state_before ? row_of<acc_t>(grad.state_before, i * state) : nullptr);
  }
  backward.store_parameters();
}

}  // namespace wkv::WKV_ISA
