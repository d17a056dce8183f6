// The forward of short_conv: the entry that short_conv_isa.cpp puts into the kernel table.
//
// A block of channels is taken through time a few tokens at a time. The rows of these tokens stand, after the K rows
// before them, in a window in the first-level cache: row K + i is token i, so tap j of token i reads row i + 1 + j.
#pragma once
#include "core/arena.h"
#include "core/simd/rows.h"
#include "short_conv/short_conv.h"

namespace wkv::WKV_ISA {

inline constexpr int64_t kShortConvTokens = 8;  // in the window at a time

template <class acc_t>
struct ShortConvScratch {
  ShortConvScratch(Arena& arena, int64_t kernel_size) {
    weight = arena.take<acc_t>(kernel_size * kShortConvChannels);
    bias = arena.take<acc_t>(kShortConvChannels);
    window = arena.take<acc_t>((kernel_size + kShortConvTokens) * kShortConvChannels);
    row = arena.take<acc_t>(kShortConvChannels);
    buffer = arena.take<acc_t>(kernel_size * kShortConvChannels);
  }
  acc_t* weight;  // [kernel_size][columns]
  acc_t* bias;    // [columns]
  acc_t* window;  // [kernel_size + kShortConvTokens][columns]
  acc_t* row;
  acc_t* buffer;
};

template <class io_t>
int64_t short_conv_forward_scratch(const ShortConvInputs& in) {
  Arena arena(nullptr);
  ShortConvScratch<accumulate_t<io_t>>(arena, in.kernel_size);
  return arena.used();
}

// A row of a parameter, which is fp32 or of the io dtype.
template <class io_t, class acc_t = accumulate_t<io_t>>
inline void load_parameter(const void* parameter, bool is_float, int64_t offset, int64_t n, acc_t* to) {
  if (is_float) {
    load_float_row(row_of<float>(parameter, offset), n, to);
  } else {
    load_row(row_of<io_t>(parameter, offset), n, to);
  }
}

// weight and bias of the channels.
template <class io_t, class acc_t>
inline void load_parameters(const ShortConvInputs& in, const ShortConvChannels& part,
                            const ShortConvScratch<acc_t>& my) {
  const int64_t K = in.kernel_size, n = part.last - part.first, columns = padded<acc_t>(n);
  load_parameter<io_t>(in.weight, in.float_weight, part.first * K, n * K, my.buffer);
  transpose(my.buffer, K, n, K, my.weight, columns);
  if (in.bias) {
    load_parameter<io_t>(in.bias, in.float_bias, part.first, n, my.bias);
  } else {
    for (int64_t c = 0; c < columns; ++c) my.bias[c] = 0;
  }
}

// The rows [kernel_size][columns] of the channels of a state; zeros without one. And back.
template <class acc_t>
inline void load_state_rows(const void* state, int64_t K, const ShortConvChannels& part, acc_t* rows) {
  const int64_t n = part.last - part.first, columns = padded<acc_t>(n);
  if (state) {
    transpose(row_of<acc_t>(state, part.first * K), K, n, K, rows, columns);
  } else {
    for (int64_t i = 0; i < K * columns; ++i) rows[i] = 0;
  }
}
template <class acc_t>
inline void store_state_rows(const acc_t* rows, int64_t K, const ShortConvChannels& part, void* state) {
  const int64_t n = part.last - part.first;
  transpose(rows, padded<acc_t>(n), K, n, row_of<acc_t>(state, part.first * K), K);
}

// z of a token, for W channels; `window` is at the row of its tap 0.
template <class acc_t>
inline Vec<acc_t> convolve(const ShortConvScratch<acc_t>& my, int64_t K, int64_t columns, const acc_t* window,
                           int64_t c) {
  Vec<acc_t> z = load(my.bias + c);
  for (int64_t j = 0; j < K; ++j) z = fma(load(my.weight + j * columns + c), load(window + j * columns + c), z);
  return z;
}

template <class io_t>
void short_conv_forward(const ShortConvInputs& in, const ShortConvSequence& sequence, const ShortConvOutputs& out,
                        const ShortConvChannels& part, void* scratch) {
  using acc_t = accumulate_t<io_t>;
  constexpr int W = kLanes<acc_t>;
  const int64_t K = in.kernel_size, T = sequence.length, values = part.last - part.first,
                columns = padded<acc_t>(values);
  const auto offset = [&](int64_t t) { return (sequence.first_token + t) * in.channels + part.first; };
  Arena arena(scratch);
  const ShortConvScratch<acc_t> my(arena, K);
  load_parameters<io_t>(in, part, my);
  load_state_rows(sequence.state_before, K, part, my.window);

  for (int64_t t = 0; t < T; t += kShortConvTokens) {
    const int64_t n = T - t < kShortConvTokens ? T - t : kShortConvTokens;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t ahead = t + i + kShortConvTokens < T ? t + i + kShortConvTokens : T - 1;
      prefetch_row(row_of<io_t>(in.x, offset(ahead)), values);
      load_row(row_of<io_t>(in.x, offset(t + i)), values, my.window + (K + i) * columns);
    }
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t c = 0; c < columns; c += W) {
        const Vec<acc_t> z = convolve(my, K, columns, my.window + (i + 1) * columns, c);
        store(my.row + c, in.silu ? z / (acc_t{1} + exp(-z)) : z);
      }
      store_row(my.row, values, row_of<io_t>(out.y, offset(t + i)));
    }
    for (int64_t i = 0; i < K * columns; ++i) my.window[i] = my.window[n * columns + i];
  }
  store_state_rows(my.window, K, part, out.state_after);
}

}  // namespace wkv::WKV_ISA
