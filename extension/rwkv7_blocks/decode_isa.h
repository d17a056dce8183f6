// The decoding step of RWKV-7, in the phases of kernels that run one after the other on all threads. To be included by
// rwkv7_blocks_isa.cpp only.
#pragma once
#include "decode_step/decode_step_isa.h"
#include "rwkv7_blocks/rows_isa.h"
#include "wkv7/wkv7_one_token_isa.h"

namespace wkv::WKV_ISA {

// y[i] += x[i] W for columns first, ..., last - 1 of W [rows, columns]; kInputs rows of x.
template <int kInputs, class P>
inline void add_columns(const P* weights, int64_t rows, int64_t columns, int64_t first, int64_t last, const float* x,
                        int64_t x_stride, float* y, int64_t y_stride) {
  constexpr int W = kLanes<float>, kVectors = 4;
  constexpr int64_t kRowsAhead = 16;
  for (int64_t n = first; n < last; n += kVectors * W) {
    Vec<float> sums[kVectors][kInputs] = {};
    for (int64_t k = 0; k < rows; ++k) {
      const P* const row = weights + k * columns;
      for (int v = 0; v < kVectors; ++v) {
        if (n + v * W >= last) break;
        __builtin_prefetch(row + kRowsAhead * columns + n + v * W);
        const Vec<float> weight = load_part(row, n + v * W, last);
        for (int i = 0; i < kInputs; ++i) sums[v][i] = fma(weight, broadcast(x[i * x_stride + k]), sums[v][i]);
      }
    }
    for (int v = 0; v < kVectors && n + v * W < last; ++v) {
      for (int i = 0; i < kInputs; ++i) {
        float* const to = y + i * y_stride + n + v * W;
        store_part(to, load_part(to, 0, last - n - v * W) + sums[v][i], 0, last - n - v * W);
      }
    }
  }
}

// --- the step ---

template <class P>
class Rwkv7Step : DecodePhases<P> {
 public:
  Rwkv7Step(const Rwkv7DecodeStep& step, void* wkv_scratch)
      : DecodePhases<P>(step), r_(step), wkv_scratch_(wkv_scratch), head_size_(step.model.head_size) {}

  void run() {
    for (int64_t i = 0; i < r_.model.layer_count; ++i) run_layer(r_.model.layers[i], i == 0);
  }

 private:
  using Layer = rwkv7::DecodeLayer;
  using DecodePhases<P>::s_;
  using DecodePhases<P>::width_;
  using DecodePhases<P>::of;
  using DecodePhases<P>::least;

  void run_layer(const Layer& layer, bool first) {
    const void* const att_mixes[kRwkv7Mixes] = {layer.x_r, layer.x_w, layer.x_k, layer.x_v, layer.x_a, layer.x_g};
    this->template shift_and_mix<false>(layer.ln1_weight, layer.ln1_bias, layer.states.att_shift,
                                        layer.states.att_shift_stride, kRwkv7Mixes, att_mixes, r_.mixed);
    multiply_inputs(layer, first);
    this->worker_.run(r_.model.heads, [&](int64_t head) { run_head(layer, first, head); });
    this->add_product(layer.output, r_.gated, layer.att_bias);

    this->template shift_and_mix<false>(layer.ln2_weight, layer.ln2_bias, layer.states.ffn_shift,
                                        layer.states.ffn_shift_stride, 1, &layer.ffn_x_k, &r_.ffn_mixed);
    this->multiply(
        layer.ffn_key, r_.ffn_mixed,
        [&](int64_t row, int64_t n, Vec<float> y) {
          store(r_.ffn_hidden.values + row * r_.ffn_hidden.columns + n, squared_relu(y));
        },
        &r_.ffn_hidden);
    this->add_product(layer.ffn_value, r_.ffn_hidden, nullptr);
  }

  // Receptance, key and value, and the first halves of the products of low rank.
  void multiply_inputs(const Layer& layer, bool first) {
    struct LowRankProduct {
      const rwkv7::DecodeLowRank& matrix;
      const DecodeRows& from;
    };
    const LowRankProduct low_ranks[kRwkv7LowRanks] = {{layer.decay, r_.mixed[1]},
                                                      {layer.rate, r_.mixed[4]},
                                                      {layer.gate, r_.mixed[5]},
                                                      {layer.value_residual, r_.mixed[3]}};
    int64_t blocks = 0;
    for (int i = 0; i < (first ? 3 : 4); ++i) blocks += (low_ranks[i].matrix.rank + 63) / 64;
    this->multiply_all({{layer.receptance, r_.mixed[0], r_.receptance},
                        {layer.key, r_.mixed[2], r_.key},
                        {layer.value, r_.mixed[3], r_.value}},
                       blocks, [&](int64_t block) {
                         int i = 0;
                         for (; block >= (low_ranks[i].matrix.rank + 63) / 64; ++i) {
                           block -= (low_ranks[i].matrix.rank + 63) / 64;
                         }
                         multiply_down(low_ranks[i].matrix, low_ranks[i].from, block * 64, i);
                       });
  }

  // Columns first, ..., first + 64 of the low-rank product number i, and their activation.
  void multiply_down(const rwkv7::DecodeLowRank& matrix, const DecodeRows& from, int64_t first, int i) const {
    const int64_t rank = matrix.rank, last = least(first + 64, rank);
    float* const to = r_.hidden[i];
    for (int64_t row = 0; row < s_.inputs; ++row) {
      for (int64_t n = first; n < last; ++n) to[row * rank + n] = 0;
    }
    add_low_rank(of(matrix.down), width_, rank, first, last, from.values, width_, to, rank);
    if (i != 0 && i != 2) return;
    for (int64_t row = 0; row < s_.inputs; ++row) {
      float* const values = to + row * rank;
      for (int64_t n = first; n < last; n += kLanes<float>) {
        const Vec<float> x = load_part(values, n, last);
        store_part(values, i == 0 ? tanh(x) : sigmoid(x), n, last);
      }
    }
  }

  void add_low_rank(const P* weights, int64_t rows, int64_t columns, int64_t first, int64_t last, const float* x,
                    int64_t x_stride, float* y, int64_t y_stride) const {
    if (s_.inputs == 1) return add_columns<1>(weights, rows, columns, first, last, x, x_stride, y, y_stride);
    for (int64_t row = 0; row < s_.inputs; row += 2) {
      add_columns<2>(weights, rows, columns, first, last, x + row * x_stride, x_stride, y + row * y_stride, y_stride);
    }
  }

  // --- a head ---

  struct HeadRow {  // of one head and one token
    alignas(64) float w[kMostDecodeHeadSize];
    alignas(64) float a[kMostDecodeHeadSize];
    alignas(64) float b[kMostDecodeHeadSize];
    alignas(64) float y[kMostDecodeHeadSize];
  };

  void run_head(const Layer& layer, bool first, int64_t head) const {
    const rwkv7::DecodeLowRank* const low_ranks[kRwkv7LowRanks] = {&layer.decay, &layer.rate, &layer.gate,
                                                                   &layer.value_residual};
    const int64_t N = head_size_, begin = head * N;
    alignas(64) float from_low_rank[kRwkv7LowRanks][kMostDecodeRows * kMostDecodeHeadSize];
    for (int i = 0; i < (first ? 3 : 4); ++i) {
      const int64_t rank = low_ranks[i]->rank;
      for_vectors(s_.inputs * N, [&](int64_t n) { store(from_low_rank[i] + n, Vec<float>{}); });
      add_low_rank(of(low_ranks[i]->up), rank, width_, begin, begin + N, r_.hidden[i], rank, from_low_rank[i] - begin,
                   N);
    }
    const Rwkv7HeadParameters<P> parameters{of(layer.decay.bias) + begin,
                                            of(layer.rate.bias) + begin,
                                            first ? nullptr : of(layer.value_residual.bias) + begin,
                                            of(layer.k_k) + begin,
                                            of(layer.k_a) + begin,
                                            of(layer.ln_x_weight) + begin,
                                            of(layer.ln_x_bias) + begin,
                                            of(layer.r_k) + begin};
    for (int64_t row = 0; row < s_.batch; ++row) {
      const int64_t at = row * width_ + begin, in_head = row * N;
      float *const k = r_.key + at, *const v = r_.value + at, *const first_v = r_.first_value + at;
      if (first) for_vectors(N, [&](int64_t n) { store(first_v + n, load(v + n)); });
      HeadRow x;
      prepare_head<float, P>(parameters, from_low_rank[0] + in_head, from_low_rank[1] + in_head,
                             from_low_rank[3] + in_head, first_v, N, x.w, k, v, x.a, x.b);
      const Wkv7Inputs inputs{.r = r_.receptance + at,
                              .k = k,
                              .v = v,
                              .a = x.a,
                              .b = x.b,
                              .decay = {x.w, /*float_w=*/true, /*log_decay=*/true},
                              .heads = 1,
                              .key_size = N,
                              .value_size = N};
      float* const state = layer.states.wkv + s_.slots[row] * layer.states.wkv_stride + head * N * N;
      wkv7_one_token<float>(inputs, {.first_token = 0, .length = 1, .head = 0, .state_before = state}, {x.y, state},
                            {0, 1, 0, N}, wkv_scratch_);
      finish_head<float, P>(parameters, r_.receptance + at, k, v, from_low_rank[2] + in_head, N, r_.model.ln_x_eps, x.y,
                            r_.gated.values + at);
      this->quantize(r_.gated, row, begin, N);
    }
  }

  const Rwkv7DecodeStep& r_;
  void* const wkv_scratch_;
  const int64_t head_size_;
};

}  // namespace wkv::WKV_ISA
