// The decoding step of RWKV-7, in the phases of kernels that run one after the other on all threads. To be included by
// rwkv7_blocks_isa.cpp only.
#pragma once
#include "core/simd/phases.h"
#include "rwkv7_blocks/rows_isa.h"
#include "thin_linear/thin_linear_rows_isa.h"
#include "wkv7/wkv7_one_token_isa.h"

namespace wkv::WKV_ISA {

// y[i] += x[i] W for columns first, ..., first + 64 of W [rows, columns], or as many as there are; kInputs rows of x.
template <int kInputs, class P>
inline void add_columns(const P* weights, int64_t rows, int64_t columns, int64_t first, const float* x,
                        int64_t x_stride, float* y, int64_t y_stride) {
  constexpr int W = kLanes<float>, kVectors = 64 / W < 8 / kInputs * 4 ? 64 / W : 8 / kInputs * 4;
  constexpr int64_t kRowsAhead = 16;
  const int64_t last = first + 64 < columns ? first + 64 : columns;
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
class Rwkv7Step {
 public:
  Rwkv7Step(const Rwkv7DecodeStep& step, void* wkv_scratch)
      : s_(step),
        wkv_scratch_(wkv_scratch),
        head_size_(step.model.head_size),
        width_(step.model.heads * step.model.head_size),
        worker_(step.phases) {}

  void run() {
    for (int64_t i = 0; i < s_.model.layer_count; ++i) run_layer(s_.model.layers[i], i == 0);
  }

 private:
  using Layer = rwkv7::DecodeLayer;
  static const P* of(const void* parameter) { return static_cast<const P*>(parameter); }

  void run_layer(const Layer& layer, bool first) {
    const void* const att_mixes[kRwkv7Mixes] = {layer.x_r, layer.x_w, layer.x_k, layer.x_v, layer.x_a, layer.x_g};
    worker_.run(s_.batch, [&](int64_t row) {
      shift_and_mix(layer.ln1_weight, layer.ln1_bias, layer.att_shift, layer.att_shift_stride, row, kRwkv7Mixes,
                    att_mixes, s_.mixed);
    });
    multiply_inputs(layer, first);
    worker_.run(s_.model.heads, [&](int64_t head) { run_head(layer, first, head); });
    const P* const att_bias = of(layer.att_bias);
    multiply(layer.output, s_.gated, [&](int64_t row, int64_t n, Vec<float> y) {
      if (att_bias) y += load_as(att_bias + n);
      float* const x = s_.x + row * width_ + n;
      store(x, load(x) + y);
    });

    worker_.run(s_.batch, [&](int64_t row) {
      shift_and_mix(layer.ln2_weight, layer.ln2_bias, layer.ffn_shift, layer.ffn_shift_stride, row, 1, &layer.ffn_x_k,
                    &s_.ffn_mixed);
    });
    const int64_t hidden = s_.ffn_hidden.columns;
    multiply(
        layer.ffn_key, s_.ffn_mixed,
        [&](int64_t row, int64_t n, Vec<float> y) {
          const Vec<float> zero = {}, rectified = y < zero ? zero : y;  // NaN stays
          store(s_.ffn_hidden.values + row * hidden + n, rectified * rectified);
        },
        &s_.ffn_hidden);
    multiply(layer.ffn_value, s_.ffn_hidden, [&](int64_t row, int64_t n, Vec<float> y) {
      float* const x = s_.x + row * width_ + n;
      store(x, load(x) + y);
    });
  }

  // The normalised x, mixed with what the sequence's last token had there.
  void shift_and_mix(const void* weight, const void* bias, void* shifts, int64_t stride, int64_t row, int count,
                     const void* const* mixes, const DecodeRows* to) const {
    float* const normal = s_.receptance + row * width_;  // not in use yet
    normalise(s_.x + row * width_, of(weight), of(bias), width_, kLayerNormEps, normal);
    P* const shift = static_cast<P*>(shifts) + s_.slots[row] * stride;
    for_vectors(width_, [&](int64_t i) {
      const Vec<float> now = load(normal + i), difference = load_as(shift + i) - now;
      for (int m = 0; m < count; ++m) {
        store(to[m].values + row * width_ + i, fma(difference, load_as(of(mixes[m]) + i), now));
      }
      store_as(shift + i, now);
    });
    for (int m = 0; m < count; ++m) quantize(to[m], row, 0, width_);
  }

  void quantize(const DecodeRows& rows, int64_t row, int64_t first, int64_t count) const {
    if (!rows.groups) return;
    const int64_t at = row * rows.columns + first;
    s_.packed.quantize(rows.values + at, count, rows.groups + at / kPackedGroup);
  }

  // Receptance, key and value, and the first halves of the products of low rank, are of one phase.
  void multiply_inputs(const Layer& layer, bool first) {
    struct Product {
      const rwkv7::DecodeMatrix& matrix;
      const DecodeRows& from;
      float* to;
    };
    const Product products[] = {{layer.receptance, s_.mixed[0], s_.receptance},
                                {layer.key, s_.mixed[2], s_.key},
                                {layer.value, s_.mixed[3], s_.value}};
    struct LowRankProduct {
      const rwkv7::DecodeLowRank& matrix;
      const DecodeRows& from;
    };
    const LowRankProduct low_ranks[kRwkv7LowRanks] = {{layer.decay, s_.mixed[1]},
                                                      {layer.rate, s_.mixed[4]},
                                                      {layer.gate, s_.mixed[5]},
                                                      {layer.value_residual, s_.mixed[3]}};
    const int64_t rows_of_task = task_rows(width_), tasks_of_matrix = (width_ + rows_of_task - 1) / rows_of_task;
    int64_t tasks = 3 * tasks_of_matrix;
    for (int i = 0; i < (first ? 3 : 4); ++i) tasks += (low_ranks[i].matrix.rank + 63) / 64;
    worker_.run(tasks, [&](int64_t task) {
      if (task < 3 * tasks_of_matrix) {
        const Product& product = products[task / tasks_of_matrix];
        const int64_t begin = task % tasks_of_matrix * rows_of_task;
        multiply_rows(product.matrix, product.from, begin, least(begin + rows_of_task, width_), product.to, width_);
        return;
      }
      int64_t block = task - 3 * tasks_of_matrix;
      int i = 0;
      for (; block >= (low_ranks[i].matrix.rank + 63) / 64; ++i) block -= (low_ranks[i].matrix.rank + 63) / 64;
      multiply_down(low_ranks[i].matrix, low_ranks[i].from, block * 64, i);
    });
  }

  // Columns first, ..., first + 64 of the low-rank product number i, and their activation.
  void multiply_down(const rwkv7::DecodeLowRank& matrix, const DecodeRows& from, int64_t first, int i) const {
    const int64_t rank = matrix.rank, last = least(first + 64, rank);
    float* const to = s_.hidden[i];
    for (int64_t row = 0; row < s_.inputs; ++row) {
      for (int64_t n = first; n < last; ++n) to[row * rank + n] = 0;
    }
    add_low_rank(of(matrix.down), width_, rank, first, from.values, width_, to, rank);
    if (i != 0 && i != 2) return;
    for (int64_t row = 0; row < s_.inputs; ++row) {
      float* const values = to + row * rank;
      for (int64_t n = first; n < last; n += kLanes<float>) {
        const Vec<float> x = load_part(values, n, last);
        store_part(values, i == 0 ? tanh(x) : sigmoid(x), n, last);
      }
    }
  }

  void add_low_rank(const P* weights, int64_t rows, int64_t columns, int64_t first, const float* x, int64_t x_stride,
                    float* y, int64_t y_stride) const {
    if (s_.inputs == 1) return add_columns<1>(weights, rows, columns, first, x, x_stride, y, y_stride);
    for (int64_t row = 0; row < s_.inputs; row += 2) {
      add_columns<2>(weights, rows, columns, first, x + row * x_stride, x_stride, y + row * y_stride, y_stride);
    }
  }

  // --- products with the large matrices ---

  static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
  // Rows of a matrix that are one task: a few tasks for each thread, so that one that is held up does less.
  int64_t task_rows(int64_t rows) const {
    constexpr int64_t kTasksOfThread = 2;
    const int64_t part = rows / (kTasksOfThread * s_.threads);
    return (part + kPackedSums - 1) / kPackedSums * kPackedSums + (part < 1 ? kPackedSums : 0);
  }

  // Rows first, ..., last - 1 of y = x W^T.
  void multiply_rows(const rwkv7::DecodeMatrix& matrix, const DecodeRows& from, int64_t first, int64_t last, float* y,
                     int64_t y_stride) const {
    if (!matrix.packed_row_bytes) {
      const ThinInputs inputs{from.values, s_.inputs, from.columns};
      return multiply_thin_rows<P>(matrix.data, from.columns, first, last, inputs, y, y_stride);
    }
    const PackedFormat format = packed_format_of(matrix);
    const PackedInputs inputs{from.groups, s_.inputs, from.columns / kPackedGroup};
    const int64_t block_bytes = kPackedRows * matrix.packed_row_bytes;
    const char* const blocks = static_cast<const char*>(matrix.data);
    float sums[kPackedInputs * kPackedSums];
    for (int64_t n = first; n < last; n += kPackedSums) {
      const int64_t count = least(kPackedSums, last - n);
      s_.packed.multiply[static_cast<int>(format)]({blocks + n / kPackedRows * block_bytes, count / kPackedRows,
                                                    block_bytes, packed_lines(format, matrix.columns)},
                                                   inputs, sums);
      for (int64_t i = 0; i < s_.inputs; ++i) {
        for (int64_t r = 0; r < count; ++r) y[i * y_stride + n + r] = sums[i * kPackedSums + r];
      }
    }
  }

  static PackedFormat packed_format_of(const rwkv7::DecodeMatrix& matrix) {
    PackedHeader header;
    __builtin_memcpy(&header, static_cast<const char*>(matrix.data) + matrix.rows * matrix.packed_row_bytes,
                     sizeof header);
    return header.format;
  }

  // A phase: use(row, n, values) for each vector of outputs. quantized: what they become part of.
  template <class Use>
  void multiply(const rwkv7::DecodeMatrix& matrix, const DecodeRows& from, const Use& use,
                const DecodeRows* quantized = nullptr) {
    const int64_t rows = task_rows(matrix.rows);
    worker_.run((matrix.rows + rows - 1) / rows, [&](int64_t task) {
      // In parts that fit a small array.
      for (int64_t first = task * rows, end = least(first + rows, matrix.rows); first < end; first += kPart) {
        const int64_t last = least(first + kPart, end);
        float y[kThinInputs * kPart];
        multiply_rows(matrix, from, first, last, y - first, kPart);
        for (int64_t row = 0; row < s_.batch; ++row) {
          for_vectors(last - first, [&](int64_t i) { use(row, first + i, load(y + row * kPart + i)); });
          if (quantized) quantize(*quantized, row, first, last - first);
        }
      }
    });
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
    alignas(64) float from_low_rank[kRwkv7LowRanks][kThinInputs * kMostDecodeHeadSize];
    for (int i = 0; i < (first ? 3 : 4); ++i) {
      const int64_t rank = low_ranks[i]->rank;
      for_vectors(s_.inputs * N, [&](int64_t n) { store(from_low_rank[i] + n, Vec<float>{}); });
      for (int64_t n = 0; n < N; n += 64) {
        add_low_rank(of(low_ranks[i]->up), rank, width_, begin + n, s_.hidden[i], rank, from_low_rank[i] - begin, N);
      }
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
      float *const k = s_.key + at, *const v = s_.value + at, *const first_v = s_.first_value + at;
      if (first) for_vectors(N, [&](int64_t n) { store(first_v + n, load(v + n)); });
      HeadRow x;
      prepare_head<float, P>(parameters, from_low_rank[0] + in_head, from_low_rank[1] + in_head,
                             from_low_rank[3] + in_head, first_v, N, x.w, k, v, x.a, x.b);
      const Wkv7Inputs inputs{.r = s_.receptance + at,
                              .k = k,
                              .v = v,
                              .a = x.a,
                              .b = x.b,
                              .decay = {x.w, /*float_w=*/true, /*log_decay=*/true},
                              .heads = 1,
                              .key_size = N,
                              .value_size = N};
      float* const state = layer.wkv + s_.slots[row] * layer.wkv_stride + head * N * N;
      wkv7_one_token<float>(inputs, {.first_token = 0, .length = 1, .head = 0, .state_before = state}, {x.y, state},
                            {0, 1, 0, N}, wkv_scratch_);
      finish_head<float, P>(parameters, s_.receptance + at, k, v, from_low_rank[2] + in_head, N, s_.model.ln_x_eps, x.y,
                            s_.gated.values + at);
      quantize(s_.gated, row, begin, N);
    }
  }

  static constexpr int64_t kPart = 4 * kPackedSums;

  const Rwkv7DecodeStep& s_;
  void* const wkv_scratch_;
  const int64_t head_size_, width_;
  PhaseWorker worker_;
};

}  // namespace wkv::WKV_ISA
