// bi_wkv with all weights e^k of a channel relative to one of its keys: a single exp an element. The sweeps go from the
// right (later tokens) to the left, back, and in the backward to the left once more:
//   1. the weights, and for each token the sums over the sources on its right;
//   2. the sums over the sources on its left: y; backward: those over the outputs on its left;
//   3. the sums over the outputs on its right: dk and dv, which come from the outputs on both sides.
// The decay's gradient pairs the sums over the sources on one side with those over the outputs on the other.
#pragma once
#include "bi_wkv/bi_wkv_block_isa.h"

namespace wkv::WKV_ISA {

template <class io_t>
class BiWkvFast {
 public:
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;

  // Slots of a token. Sums over outputs from the left take the place of those over sources from the right.
  static constexpr int kWeight = 0, kRight = 1, kLeft = 3, kOutput = 5, kForwardSlots = 3, kBackwardSlots = 7;

  explicit BiWkvFast(const BiWkvColumns<io_t>& columns) : my(columns) {
    my.each([&](int64_t c, const auto&) {
      store(decay_minus_one + c, exp_minus_one(-load(my.w() + c)));
      store(bonus + c, exp(load(my.u() + c)));
    });
    load_row(my.of(my.in.k, my.in.time - 1), my.count(), reference);
    my.clear(kFirstSum, kSums);
  }

  // Sweep 1. False where a weight may come near the limits of float: then the others are not to be made.
  bool sum_right() const {
    for (int64_t t = my.in.time - 1; t >= 0; --t) {
      const io_t *k_row = my.of(my.in.k, t), *v_row = my.of(my.in.v, t);
      my.each([&](int64_t c, const auto& lanes) {
        const V x = lanes.load(k_row + c) - load(reference + c), weight = exp(x);
        const Sums<acc_t> right = right_sums.load(c);
        store(spread + c, max(abs(x), load(spread + c)));
        store(my.slot(t, kWeight) + c, weight);
        my.sums(t, kRight).store(c, right);
        right_sums.store(c, next(load(decay_minus_one + c), right, weight * single<acc_t>(lanes.load(v_row + c))));
      });
    }
    return in_range();
  }

  // Sweep 2 of the forward.
  void write_y(void* y) const {
    for (int64_t t = 0; t < my.in.time; ++t) {
      const io_t* v_row = my.of(my.in.v, t);
      io_t* y_row = my.of(y, t);
      my.each([&](int64_t c, const auto& lanes) {
        const Sums<acc_t> left = left_sums.load(c), source = source_of(t, c, lanes.load(v_row + c));
        const Sums<acc_t> all = fma(load(bonus + c), source, left + my.sums(t, kRight).load(c));
        lanes.store(y_row + c, all.values / all.weights);
        left_sums.store(c, next(load(decay_minus_one + c), left, source));
      });
    }
  }

  // Sweeps 2 and 3 of the backward.
  void write_gradients(const BiWkvGradients& grad) const {
    sum_outputs_left(grad);
    sum_outputs_right(grad);
    my.each([&](int64_t c, const auto& lanes) {
      my.add_to(grad.w, c, lanes, -exp(-load(my.w() + c)) * load(by_decay + c));
      my.add_to(grad.u, c, lanes, load(by_bonus + c));
    });
  }

 protected:
  bool in_range() const {
    // Sums are at most T e^range, the quotients of the backward no less than e^-range: far from e^88.
    constexpr acc_t kRange = 60;
    const acc_t distance = static_cast<acc_t>(my.in.time - 1);
    bool all = true;
    my.each([&](int64_t c, const auto&) {
      const V range = load(spread + c) + distance * abs(load(my.w() + c)) + abs(load(my.u() + c));
      for (int i = 0; i < kLanes<acc_t>; ++i) all = all && range[i] < kRange;
    });
    return all;
  }

  Sums<acc_t> source_of(int64_t t, int64_t c, V v) const { return load(my.slot(t, kWeight) + c) * single<acc_t>(v); }

  void sum_outputs_left(const BiWkvGradients& grad) const {
    for (int64_t t = 0; t < my.in.time; ++t) {
      const io_t *v_row = my.of(my.in.v, t), *g_row = my.of(grad.y, t);
      my.each([&](int64_t c, const auto& lanes) {
        const V d = load(decay_minus_one + c), e_u = load(bonus + c);
        const Sums<acc_t> left = left_sums.load(c), right = my.sums(t, kRight).load(c),
                          source = source_of(t, c, lanes.load(v_row + c)), own = e_u * source, all = left + right + own,
                          outputs = left_outputs.load(c);
        const V scale = 1 / all.weights;
        const Sums<acc_t> output = (lanes.load(g_row + c) * scale) * single<acc_t>(all.values * scale);
        store(by_bonus + c, load(by_bonus + c) + pairing(own, output));
        store(by_decay + c, load(by_decay + c) + pairing(right, outputs));
        my.sums(t, kRight).store(c, fma(e_u, output, outputs));
        my.sums(t, kLeft).store(c, left);
        my.sums(t, kOutput).store(c, output);
        left_sums.store(c, next(d, left, source));
        left_outputs.store(c, next(d, outputs, output));
      });
    }
  }

  void sum_outputs_right(const BiWkvGradients& grad) const {
    for (int64_t t = my.in.time - 1; t >= 0; --t) {
      const io_t* v_row = my.of(my.in.v, t);
      io_t *gk_row = my.of(grad.k, t), *gv_row = my.of(grad.v, t);
      my.each([&](int64_t c, const auto& lanes) {
        const Sums<acc_t> right = right_outputs.load(c), outputs = right + my.sums(t, kRight).load(c),
                          source = source_of(t, c, lanes.load(v_row + c));
        lanes.store(gk_row + c, pairing(source, outputs));
        lanes.store(gv_row + c, source.weights * outputs.weights);
        store(by_decay + c, load(by_decay + c) + pairing(my.sums(t, kLeft).load(c), right));
        right_outputs.store(c, next(load(decay_minus_one + c), right, my.sums(t, kOutput).load(c)));
      });
    }
  }

  static constexpr int kFirstSum = 3, kSums = 11, kRows = kFirstSum + kSums;
  const BiWkvColumns<io_t>& my;
  acc_t *const reference = my.row(0), *const decay_minus_one = my.row(1), *const bonus = my.row(2),
               *const spread = my.row(3), *const by_decay = my.row(4), *const by_bonus = my.row(5);
  const SumsRow<acc_t> right_sums = my.sums(6), left_sums = my.sums(8), left_outputs = my.sums(10),
                       right_outputs = my.sums(12);
};

}  // namespace wkv::WKV_ISA
