// The phases that the decoding steps of the models share. To be included by *_isa.h files only.
#pragma once
#include "core/simd/phases.h"
#include "decode_step/decode_step.h"
#include "decode_step/rows_isa.h"
#include "thin_linear/thin_linear_rows_isa.h"

namespace wkv::WKV_ISA {

// P: of the parameters that are no large matrices.
template <class P>
class DecodePhases {
 public:
  explicit DecodePhases(const DecodeStep& step) : s_(step), width_(step.width), worker_(step.phases) {}

 protected:
  struct Product {
    const DecodeMatrix& matrix;
    const DecodeRows& from;
    float* to;  // [inputs, rows of the matrix]
  };

  static const P* of(const void* parameter) { return static_cast<const P*>(parameter); }
  static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

  // A phase: several products, and other work in more_tasks tasks.
  template <int kProducts, class More>
  void multiply_all(const Product (&products)[kProducts], int64_t more_tasks, const More& more) {
    int64_t tasks = 0;
    for (const Product& product : products) tasks += tasks_of(product.matrix);
    worker_.run(tasks + more_tasks, [&](int64_t task) {
      for (const Product& product : products) {
        const int64_t own = tasks_of(product.matrix), rows = product.matrix.rows, part = task_rows(rows);
        if (task < own) {
          return multiply_rows(product.matrix, product.from, task * part, least((task + 1) * part, rows), product.to,
                               rows);
        }
        task -= own;
      }
      more(task);
    });
  }

  // A phase: x += the product + bias, which may be null.
  void add_product(const DecodeMatrix& matrix, const DecodeRows& from, const void* bias) {
    multiply(matrix, from, [&](int64_t row, int64_t n, Vec<float> y) {
      if (bias) y += load_as(of(bias) + n);
      float* const x = s_.x + row * width_ + n;
      store(x, load(x) + y);
    });
  }

  // A phase: the normalised x, mixed with what the sequence's last token had there. of_token: mixes are those of the
  // token itself, else of its predecessor.
  template <bool of_token>
  void shift_and_mix(const void* weight, const void* bias, void* shifts, int64_t stride, int count,
                     const void* const* mixes, const DecodeRows* to) {
    worker_.run(s_.batch, [&](int64_t row) {
      shift_and_mix_row<of_token>(weight, bias, static_cast<P*>(shifts) + s_.slots[row] * stride, row, count, mixes,
                                  to);
    });
  }

  template <bool of_token>
  void shift_and_mix_row(const void* weight, const void* bias, P* shift, int64_t row, int count,
                         const void* const* mixes, const DecodeRows* to) const {
    float* const normal = s_.normal + row * width_;
    normalise(s_.x + row * width_, of(weight), of(bias), width_, kLayerNormEps, normal);
    for_vectors(width_, [&](int64_t i) {
      const Vec<float> now = load(normal + i), before = load_as(shift + i), one = of_token ? before : now,
                       other = of_token ? now : before;
      for (int m = 0; m < count; ++m) {
        store(to[m].values + row * width_ + i, fma(other - one, load_as(of(mixes[m]) + i), one));
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

  // Rows of a matrix that are one task: a few tasks for each thread, so that one that is held up does less.
  int64_t task_rows(int64_t rows) const {
    constexpr int64_t kTasksOfThread = 4;
    const int64_t part = rows / (kTasksOfThread * s_.threads);
    return (part + kPackedSums - 1) / kPackedSums * kPackedSums + (part < 1 ? kPackedSums : 0);
  }

  // Rows first, ..., last - 1 of y = x W^T.
  void multiply_rows(const DecodeMatrix& matrix, const DecodeRows& from, int64_t first, int64_t last, float* y,
                     int64_t y_stride) const {
    // Of more rows of x than a kernel takes, the later ones find the weights in the cache.
    const int64_t together = least(s_.inputs, kThinInputs), part = together < s_.inputs ? kPackedSums : last - first;
    for (int64_t n = first; n < last; n += part) {
      for (int64_t i = 0; i < s_.inputs; i += together) {
        multiply_part(matrix, from, i, together, n, least(n + part, last), y + i * y_stride, y_stride);
      }
    }
  }

  // The same for rows of x from i on, as many as a kernel takes; y: of the row i.
  void multiply_part(const DecodeMatrix& matrix, const DecodeRows& from, int64_t i, int64_t count, int64_t first,
                     int64_t last, float* y, int64_t y_stride) const {
    if (!matrix.packed_row_bytes) {
      const ThinInputs inputs{from.values + i * from.columns, count, from.columns};
      return multiply_thin_rows<P>(matrix.data, from.columns, first, last, inputs, y, y_stride);
    }
    const PackedFormat format = packed_format_of(matrix);
    const int64_t groups = from.columns / kPackedGroup, block_bytes = kPackedRows * matrix.packed_row_bytes;
    const PackedInputs inputs{from.groups + i * groups, count, groups};
    const char* const blocks = static_cast<const char*>(matrix.data);
    float sums[kPackedInputs * kPackedSums];
    for (int64_t n = first; n < last; n += kPackedSums) {
      const int64_t rows = least(kPackedSums, last - n);
      s_.packed.multiply[static_cast<int>(format)]({blocks + n / kPackedRows * block_bytes, rows / kPackedRows,
                                                    block_bytes, packed_lines(format, matrix.columns)},
                                                   inputs, sums);
      for (int64_t j = 0; j < count; ++j) {
        for (int64_t r = 0; r < rows; ++r) y[j * y_stride + n + r] = sums[j * kPackedSums + r];
      }
    }
  }

  static PackedFormat packed_format_of(const DecodeMatrix& matrix) {
    PackedHeader header;
    __builtin_memcpy(&header, static_cast<const char*>(matrix.data) + matrix.rows * matrix.packed_row_bytes,
                     sizeof header);
    return header.format;
  }

  // A phase: use(row, n, values) for each vector of outputs. quantized: what they become part of.
  template <class Use>
  void multiply(const DecodeMatrix& matrix, const DecodeRows& from, const Use& use,
                const DecodeRows* quantized = nullptr) {
    const int64_t rows = task_rows(matrix.rows);
    worker_.run(tasks_of(matrix), [&](int64_t task) {
      // In parts that fit a small array.
      for (int64_t first = task * rows, end = least(first + rows, matrix.rows); first < end; first += kPart) {
        const int64_t last = least(first + kPart, end);
        float y[kMostDecodeRows * kPart];
        multiply_rows(matrix, from, first, last, y - first, kPart);
        for (int64_t row = 0; row < s_.batch; ++row) {
          for_vectors(last - first, [&](int64_t i) { use(row, first + i, load(y + row * kPart + i)); });
          if (quantized) quantize(*quantized, row, first, last - first);
        }
      }
    });
  }

  int64_t tasks_of(const DecodeMatrix& matrix) const {
    const int64_t rows = task_rows(matrix.rows);
    return (matrix.rows + rows - 1) / rows;
  }

  static constexpr int64_t kPart = 4 * kPackedSums;

  const DecodeStep& s_;
  const int64_t width_;
  PhaseWorker worker_;
};

}  // namespace wkv::WKV_ISA
