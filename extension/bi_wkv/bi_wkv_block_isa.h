// What the forms of bi_wkv share: a block's rows in memory, and what is kept of each of its tokens.
#pragma once
#include "bi_wkv/bi_wkv.h"
#include "core/arena.h"
#include "core/simd/channels.h"
#include "core/simd/log_sums.h"

namespace wkv::WKV_ISA {

// Rows of sums over one side of a token.
template <class acc_t>
struct SumsRow {
  SumsRow(acc_t* rows, int64_t width) : values(rows), weights(rows + width) {}
  Sums<acc_t> load(int64_t c) const { return {WKV_ISA::load(values + c), WKV_ISA::load(weights + c)}; }
  void store(int64_t c, const Sums<acc_t>& sums) const {
    WKV_ISA::store(values + c, sums.values);
    WKV_ISA::store(weights + c, sums.weights);
  }
  acc_t *values, *weights;
};
template <class acc_t>
struct LogSumsRow {
  LogSumsRow(acc_t* rows, int64_t width) : exponent(rows), sums(rows + width, width) {}
  LogSums<acc_t> load(int64_t c) const { return {WKV_ISA::load(exponent + c), sums.load(c)}; }
  void store(int64_t c, const LogSums<acc_t>& x) const {
    WKV_ISA::store(exponent + c, x.exponent);
    sums.store(c, x.sums);
  }
  acc_t* exponent;
  SumsRow<acc_t> sums;
};

// The sums seen from one token further away, and the next source: the decay is given as e^(-w) - 1, since an error of
// the rounded e^(-w) would count as many times as there are tokens.
template <class acc_t>
inline Sums<acc_t> next(Vec<acc_t> decay_minus_one, const Sums<acc_t>& sums, const Sums<acc_t>& source) {
  return sums + fma(decay_minus_one, sums, source);
}

// With sums over sources (weights e^k of values v) and over outputs (values y, weighted by dL/dy / the denominator that
// y was divided by): what the loss changes by when the former's share in the latter grows by a factor.
template <class acc_t>
inline Vec<acc_t> pairing(const Sums<acc_t>& sources, const Sums<acc_t>& outputs) {
  return fma(sources.values, outputs.weights, -(sources.weights * outputs.values));
}

// A block: its rows in the tensors, and its scratch: some rows, and some slots (rows, too) of each token.
template <class io_t>
class BiWkvColumns {
 public:
  using acc_t = accumulate_t<io_t>;

  static int64_t scratch(int64_t time, int64_t channels, int slots) {
    Arena arena(nullptr);
    take(arena, time, channels, slots);
    return arena.used();
  }

  BiWkvColumns(const BiWkvInputs& inputs, const BiWkvBlock& block_, int slots, void* scratch)
      : in(inputs), block(block_), slots_(slots) {
    Arena arena(scratch);
    rows_ = take(arena, in.time, count(), slots);
    load_parameter<io_t>(in.w, block.range, w());
    load_parameter<io_t>(in.u, block.range, u());
  }

  // Calls step(c, lanes) for each vector of channels.
  template <class Step>
  [[gnu::always_inline]] void each(const Step& step) const {
    for_channels<acc_t>(0, count(), step);
  }
  // Where a tensor's row of token t starts.
  template <class Data>
  auto* of(Data* tensor, int64_t t) const {
    return row_of<io_t>(tensor, (block.row * in.time + t) * in.channels + block.range.first);
  }
  acc_t* w() const { return rows_; }
  acc_t* u() const { return rows_ + width_; }
  acc_t* row(int i) const { return rows_ + (2 + i) * width_; }
  acc_t* slot(int64_t t, int i) const { return rows_ + (2 + kRows + t * slots_ + i) * width_; }
  SumsRow<acc_t> sums(int i) const { return {row(i), width_}; }
  SumsRow<acc_t> sums(int64_t t, int i) const { return {slot(t, i), width_}; }
  LogSumsRow<acc_t> log_sums(int i) const { return {row(i), width_}; }
  LogSumsRow<acc_t> log_sums(int64_t t, int i) const { return {slot(t, i), width_}; }

  int64_t count() const { return block.range.last - block.range.first; }
  void clear(int first_row, int rows) const {
    for (int64_t i = 0; i < rows * width_; i += kLanes<acc_t>) store(row(first_row) + i, Vec<acc_t>{});
  }
  // Adds to a row of gradients of a parameter.
  template <class Lanes>
  void add_to(void* gradient, int64_t c, const Lanes& lanes, Vec<acc_t> part) const {
    acc_t* to = row_of<acc_t>(gradient, block.range.first + c);
    lanes.store(to, lanes.load(to) + part);
  }

  const BiWkvInputs in;
  const BiWkvBlock block;

 private:
  static constexpr int kRows = 30;  // as many as any form has
  static acc_t* take(Arena& arena, int64_t time, int64_t channels, int slots) {
    return arena.take<acc_t>((2 + kRows + time * slots) * padded<acc_t>(channels));
  }
  const int64_t width_ = padded<acc_t>(count()), slots_;
  acc_t* rows_;
};

}  // namespace wkv::WKV_ISA
