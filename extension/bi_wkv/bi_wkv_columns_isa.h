// What the forms of bi_wkv share: a block's rows in memory, and what is kept of its tokens.
#pragma once
#include "bi_wkv/bi_wkv.h"
#include "core/arena.h"
#include "core/simd/channels.h"
#include "core/simd/log_sums.h"

namespace wkv::WKV_ISA {

// Vectors one after the other in memory, alone or in sums.
template <class acc_t>
struct Vectors {
  static constexpr int kLanesOfEach = kLanes<acc_t>;
  Vec<acc_t> operator[](int i) const { return load(first + i * kLanesOfEach); }
  Sums<acc_t> sums(int i) const { return {(*this)[i], (*this)[i + 1]}; }
  LogSums<acc_t> log_sums(int i) const { return {(*this)[i], sums(i + 1)}; }

  void set(int i, Vec<acc_t> x) const { store(first + i * kLanesOfEach, x); }
  void add(int i, Vec<acc_t> x) const { set(i, (*this)[i] + x); }
  void set(int i, const Sums<acc_t>& x) const {
    set(i, x.values);
    set(i + 1, x.weights);
  }
  void set(int i, const LogSums<acc_t>& x) const {
    set(i, x.exponent);
    set(i + 1, x.sums);
  }
  acc_t* first;
};
// `count` vectors for each vector of channels.
template <class acc_t>
struct VectorsOfChannels {
  Vectors<acc_t> operator()(int64_t c) const { return {first + c * count}; }
  acc_t* first;
  int64_t count;
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

// A token's output: what it reads of the others, and its own value v of the weight `own`. Exactly v where there are no
// others.
template <class acc_t>
struct BiWkvOutput {
  BiWkvOutput(const Sums<acc_t>& others, Vec<acc_t> own_weight, Vec<acc_t> v)
      : own(own_weight),
        scale(1 / (others.weights + own)),
        less_v(fma(-v, others.weights, others.values) * scale),
        y(v + less_v) {}
  Vec<acc_t> own, scale, less_v, y;  // less_v: y - v
};

// A block of channels: its rows in the tensors, and its scratch, which has for each vector of channels
//   w, u and what else a form keeps, kVariables vectors in all;
//   for each chunk of tokens kCheckpoint of these variables, as they are where a sweep comes to it;
//   for each token of the present chunk some vectors (slots).
template <class io_t>
class BiWkvColumns {
 public:
  using acc_t = accumulate_t<io_t>;
  static constexpr int kVariables = 32, kCheckpoint = 9;  // as many as any form has
  static constexpr int kW = 0, kU = 1;

  static int64_t scratch(int64_t time, int64_t chunk, int64_t channels, int slots) {
    Arena arena(nullptr);
    BiWkvColumns(arena, {.time = time, .chunk = chunk}, {0, {0, channels}}, slots);
    return arena.used();
  }

  BiWkvColumns(Arena& arena, const BiWkvInputs& inputs, const BiWkvBlock& block_, int slots)
      : in(inputs), block(block_), slots_(slots) {
    const int64_t width = padded<acc_t>(count());
    variables_ = arena.take<acc_t>(width * kVariables);
    checkpoints_ = arena.take<acc_t>(chunks() * width * kCheckpoint);
    kept_ = arena.take<acc_t>(in.chunk * width * slots);
  }

  int64_t count() const { return block.range.last - block.range.first; }
  int64_t chunks() const { return (in.time + in.chunk - 1) / in.chunk; }
  // The tokens of a chunk are begin, ..., end - 1.
  int64_t begin(int64_t chunk) const { return chunk * in.chunk; }
  int64_t end(int64_t chunk) const { return chunk + 1 < chunks() ? begin(chunk + 1) : in.time; }

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
  // From a row of token t to that which is to be asked for, for a sweep in this direction (1, -1).
  int64_t ahead(int64_t t, int direction) const {
    const int64_t tokens = direction * tokens_ahead(count());
    return t + tokens >= 0 && t + tokens < in.time ? tokens * in.channels : 0;
  }

  VectorsOfChannels<acc_t> variables() const { return {variables_, kVariables}; }
  VectorsOfChannels<acc_t> slots(int64_t t) const {
    return {kept_ + t % in.chunk * padded<acc_t>(count()) * slots_, slots_};
  }
  // All variables 0 but w and u.
  void start() const {
    each([&](int64_t c, const auto& lanes) {
      const Vectors<acc_t> x = variables()(c);
      for (int i = 0; i < kVariables; ++i) x.set(i, Vec<acc_t>{});
      x.set(kW, load_parameter<io_t>(in.w, block.range.first + c, lanes));
      x.set(kU, load_parameter<io_t>(in.u, block.range.first + c, lanes));
    });
  }
  // `n` variables to the checkpoint of a chunk, where they are from `at` on, and back.
  void save(int first, int n, int64_t chunk, int at) const {
    each([&](int64_t c, const auto&) {
      for (int i = 0; i < n; ++i) checkpoint(chunk)(c).set(at + i, variables()(c)[first + i]);
    });
  }
  void restore(int first, int n, int64_t chunk, int at) const {
    each([&](int64_t c, const auto&) {
      for (int i = 0; i < n; ++i) variables()(c).set(first + i, checkpoint(chunk)(c)[at + i]);
    });
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
  VectorsOfChannels<acc_t> checkpoint(int64_t chunk) const {
    return {checkpoints_ + chunk * padded<acc_t>(count()) * kCheckpoint, kCheckpoint};
  }
  const int64_t slots_;
  acc_t *variables_, *checkpoints_, *kept_;
};

// The sweeps of a form (bi_wkv_fast_isa.h says which there are) over the chunks. False, with nothing written, where the
// form does not reach as far as the inputs go.
template <class Form>
bool bi_wkv_sum_right_of_first_chunk(const Form& form) {
  for (int64_t chunk = form.my.chunks() - 1; chunk > 0; --chunk) {
    form.save_right(chunk);
    form.template sum_right<false>(chunk);
  }
  form.save_right(0);
  form.template sum_right<true>(0);
  return form.in_range();
}
template <class Form>
bool bi_wkv_write_y(const Form& form, void* y) {
  if (!bi_wkv_sum_right_of_first_chunk(form)) return false;
  for (int64_t chunk = 0; chunk < form.my.chunks(); ++chunk) {
    if (chunk > 0) {
      form.restore_right(chunk);
      form.template sum_right<true>(chunk);
    }
    form.write_y(chunk, y);
  }
  return true;
}
template <class Form>
bool bi_wkv_write_gradients(const Form& form, const BiWkvGradients& grad) {
  if (!bi_wkv_sum_right_of_first_chunk(form)) return false;
  const int64_t last = form.my.chunks() - 1;
  for (int64_t chunk = 0; chunk <= last; ++chunk) {
    if (chunk > 0) {
      form.restore_right(chunk);
      form.template sum_right<true>(chunk);
    }
    form.save_left(chunk);
    form.template sum_left<true>(chunk, grad);
  }
  for (int64_t chunk = last; chunk >= 0; --chunk) {
    if (chunk < last) {
      form.restore_right(chunk);
      form.template sum_right<true>(chunk);
      form.restore_left(chunk);
      form.template sum_left<false>(chunk, grad);
    }
    form.write_gradients(chunk, grad);
  }
  form.finish(grad);
  return true;
}

}  // namespace wkv::WKV_ISA
