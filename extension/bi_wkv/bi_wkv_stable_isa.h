// bi_wkv for keys and decays of any size: sums with exponents of their own, in the sweeps of bi_wkv_fast_isa.h. No
// factor is ever larger than 1: an output's denominator has a part in it of every source, decayed by the distance.
#pragma once
#include "bi_wkv/bi_wkv_block_isa.h"

namespace wkv::WKV_ISA {

template <class io_t>
class BiWkvStable {
 public:
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;

  // Slots of a token. Sums over outputs from the left take the place of those over sources from the right.
  static constexpr int kRight = 0, kLeft = 3, kTop = 6, kOutput = 7, kForwardSlots = 3, kBackwardSlots = 9;

  explicit BiWkvStable(const BiWkvColumns<io_t>& columns) : my(columns) {
    // Finite, so that no difference is taken of infinities; the factor is 0 long before.
    const V least = broadcast<acc_t>(-1e30f);
    my.clear(kFirstGradient, 2);
    my.each([&](int64_t c, const auto&) {
      store(log_decay + c, -max(least, -max(least, -load(my.w() + c))));
      for (const LogSumsRow<acc_t>& sums : {right_sums, left_sums, left_outputs, right_outputs}) {
        sums.store(c, empty_log_sums<acc_t>());
      }
    });
  }

  void write_y(void* y) const {
    sum_right();
    for (int64_t t = 0; t < my.in.time; ++t) {
      const io_t *k_row = my.of(my.in.k, t), *v_row = my.of(my.in.v, t);
      io_t* y_row = my.of(y, t);
      my.each([&](int64_t c, const auto& lanes) {
        const V k = lanes.load(k_row + c), v = lanes.load(v_row + c);
        const LogSums<acc_t> left = left_sums.load(c);
        const Sums<acc_t> all = read(left, my.log_sums(t, kRight).load(c), load(my.u() + c) + k, v).all;
        lanes.store(y_row + c, all.values / all.weights);
        left_sums.store(c, add(decayed(left, c), k, single<acc_t>(v)));
      });
    }
  }

  void write_gradients(const BiWkvGradients& grad) const {
    sum_right();
    sum_outputs_left(grad);
    sum_outputs_right(grad);
    my.each([&](int64_t c, const auto& lanes) {
      my.add_to(grad.w, c, lanes, -load(by_decay + c));
      my.add_to(grad.u, c, lanes, load(by_bonus + c));
    });
  }

 private:
  // What a token reads, relative to e^top.
  struct Read {
    V top;
    Sums<acc_t> own, all;
  };
  static Read read(const LogSums<acc_t>& left, const LogSums<acc_t>& right, V bonus, V v) {
    const V top = max(max(left.exponent, right.exponent), bonus);
    const Sums<acc_t> own = exp(bonus - top) * single<acc_t>(v);
    return {top, own, fma(exp(left.exponent - top), left.sums, fma(exp(right.exponent - top), right.sums, own))};
  }
  LogSums<acc_t> decayed(const LogSums<acc_t>& x, int64_t c) const {
    return {x.exponent + load(log_decay + c), x.sums};
  }
  // The derivative by the log decay of what the outputs on one side read of the sources on the other.
  V across(const LogSums<acc_t>& sources, const LogSums<acc_t>& outputs, int64_t c) const {
    return exp(decayed(sources, c).exponent + outputs.exponent) * pairing(sources.sums, outputs.sums);
  }

  void sum_right() const {
    for (int64_t t = my.in.time - 1; t >= 0; --t) {
      const io_t *k_row = my.of(my.in.k, t), *v_row = my.of(my.in.v, t);
      my.each([&](int64_t c, const auto& lanes) {
        const LogSums<acc_t> right = right_sums.load(c);
        my.log_sums(t, kRight).store(c, right);
        right_sums.store(c, add(decayed(right, c), lanes.load(k_row + c), single<acc_t>(lanes.load(v_row + c))));
      });
    }
  }

  void sum_outputs_left(const BiWkvGradients& grad) const {
    for (int64_t t = 0; t < my.in.time; ++t) {
      const io_t *k_row = my.of(my.in.k, t), *v_row = my.of(my.in.v, t), *g_row = my.of(grad.y, t);
      my.each([&](int64_t c, const auto& lanes) {
        const V k = lanes.load(k_row + c), v = lanes.load(v_row + c);
        const LogSums<acc_t> left = left_sums.load(c), right = my.log_sums(t, kRight).load(c),
                             outputs = left_outputs.load(c);
        const Read x = read(left, right, load(my.u() + c) + k, v);
        const V scale = 1 / x.all.weights;
        const Sums<acc_t> output = (lanes.load(g_row + c) * scale) * single<acc_t>(x.all.values * scale);
        store(by_bonus + c, load(by_bonus + c) + pairing(x.own, output));
        store(by_decay + c, load(by_decay + c) + across(right, outputs, c));
        my.log_sums(t, kRight).store(c, outputs);
        my.log_sums(t, kLeft).store(c, left);
        store(my.slot(t, kTop) + c, x.top);
        my.sums(t, kOutput).store(c, output);
        left_sums.store(c, add(decayed(left, c), k, single<acc_t>(v)));
        left_outputs.store(c, add(decayed(outputs, c), -x.top, output));
      });
    }
  }

  void sum_outputs_right(const BiWkvGradients& grad) const {
    for (int64_t t = my.in.time - 1; t >= 0; --t) {
      const io_t *k_row = my.of(my.in.k, t), *v_row = my.of(my.in.v, t);
      io_t *gk_row = my.of(grad.k, t), *gv_row = my.of(grad.v, t);
      my.each([&](int64_t c, const auto& lanes) {
        const V k = lanes.load(k_row + c), top = load(my.slot(t, kTop) + c);
        const LogSums<acc_t> left = my.log_sums(t, kRight).load(c), right = right_outputs.load(c);
        const Sums<acc_t> output = my.sums(t, kOutput).load(c);
        const Sums<acc_t> outputs =
            fma(exp(k + left.exponent), left.sums,
                fma(exp(k + right.exponent), right.sums, exp(load(my.u() + c) + k - top) * output));
        lanes.store(gk_row + c, pairing(single<acc_t>(lanes.load(v_row + c)), outputs));
        lanes.store(gv_row + c, outputs.weights);
        store(by_decay + c, load(by_decay + c) + across(my.log_sums(t, kLeft).load(c), right, c));
        right_outputs.store(c, add(decayed(right, c), -top, output));
      });
    }
  }

  static constexpr int kFirstGradient = 1;
  const BiWkvColumns<io_t>& my;
  acc_t *const log_decay = my.row(0), *const by_decay = my.row(1), *const by_bonus = my.row(2);
  const LogSumsRow<acc_t> right_sums = my.log_sums(3), left_sums = my.log_sums(6), left_outputs = my.log_sums(9),
                          right_outputs = my.log_sums(12);
};

}  // namespace wkv::WKV_ISA
