// bi_wkv for keys and decays of any size: sums with exponents of their own, in the sweeps of bi_wkv_fast_isa.h. No
// factor is ever larger than 1: an output's denominator has a part in it of every source, decayed by the distance.
#pragma once
#include "bi_wkv/bi_wkv_columns_isa.h"

namespace wkv::WKV_ISA {

template <class io_t>
class BiWkvStable {
 public:
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;

  // Slots of a token. In the backward, the outputs' sums from the left take the place of the sources' from the right.
  static constexpr int kRight = 0, kLeft = 3, kTop = 6, kY = 7, kScaledGradient = 8;

  explicit BiWkvStable(const BiWkvColumns<io_t>& columns) : my(columns) {
    my.start();
    // Finite, so that no difference is taken of infinities; the factor is 0 long before.
    const V least = broadcast<acc_t>(-1e30f);
    my.each([&](int64_t c, const auto&) {
      const Vectors<acc_t> x = my.variables()(c);
      x.set(kLogDecay, -max(least, -max(least, -x[my.kW])));
      for (const int sums : {kRightSums, kLeftSums, kLeftOutputs, kRightOutputs}) x.set(sums, empty_log_sums<acc_t>());
    });
  }

  void save_right(int64_t chunk) const { my.save(kRightSums, 3, chunk, 0); }
  void restore_right(int64_t chunk) const { my.restore(kRightSums, 3, chunk, 0); }
  void save_left(int64_t chunk) const { my.save(kLeftSums, 6, chunk, 3); }
  void restore_left(int64_t chunk) const { my.restore(kLeftSums, 6, chunk, 3); }
  bool in_range() const { return true; }

  template <bool kKeep>
  void sum_right(int64_t chunk) const {
    const auto variables = my.variables();
    for (int64_t t = my.end(chunk) - 1; t >= my.begin(chunk); --t) {
      const io_t *k_row = my.of(my.in.k, t), *v_row = my.of(my.in.v, t);
      const auto slots = my.slots(t);
      my.each([&](int64_t c, const auto& lanes) {
        const Vectors<acc_t> x = variables(c), slot = slots(c);
        const LogSums<acc_t> right = x.log_sums(kRightSums);
        if constexpr (kKeep) slot.set(kRight, right);
        x.set(kRightSums,
              add(decayed(right, x[kLogDecay]), lanes.load(k_row + c), single<acc_t>(lanes.load(v_row + c))));
      });
    }
  }

  void write_y(int64_t chunk, void* y) const {
    const auto variables = my.variables();
    for (int64_t t = my.begin(chunk); t < my.end(chunk); ++t) {
      const io_t *k_row = my.of(my.in.k, t), *v_row = my.of(my.in.v, t);
      io_t* y_row = my.of(y, t);
      const auto slots = my.slots(t);
      my.each([&](int64_t c, const auto& lanes) {
        const Vectors<acc_t> x = variables(c), slot = slots(c);
        const V k = lanes.load(k_row + c), v = lanes.load(v_row + c);
        const LogSums<acc_t> left = x.log_sums(kLeftSums);
        lanes.store(y_row + c, Read(left, slot.log_sums(kRight), x[my.kU] + k, v).out.y);
        x.set(kLeftSums, add(decayed(left, x[kLogDecay]), k, single<acc_t>(v)));
      });
    }
  }

  template <bool kFirst>
  void sum_left(int64_t chunk, const BiWkvGradients& grad) const {
    const auto variables = my.variables();
    for (int64_t t = my.begin(chunk); t < my.end(chunk); ++t) {
      const io_t *k_row = my.of(my.in.k, t), *v_row = my.of(my.in.v, t), *g_row = my.of(grad.y, t);
      const auto slots = my.slots(t);
      my.each([&](int64_t c, const auto& lanes) {
        const Vectors<acc_t> x = variables(c), slot = slots(c);
        const V k = lanes.load(k_row + c), v = lanes.load(v_row + c);
        const LogSums<acc_t> left = x.log_sums(kLeftSums), right = slot.log_sums(kRight),
                             outputs = x.log_sums(kLeftOutputs);
        const Read read(left, right, x[my.kU] + k, v);
        const V g = lanes.load(g_row + c) * read.out.scale;
        if constexpr (kFirst) {
          x.set(kByBonus, fma(-read.out.own * g, read.out.less_v, x[kByBonus]));
          x.add(kByDecay, across(right, outputs, x[kLogDecay]));
        }
        slot.set(kRight, outputs);
        slot.set(kLeft, left);
        slot.set(kTop, read.top);
        slot.set(kY, read.out.y);
        slot.set(kScaledGradient, g);
        x.set(kLeftSums, add(decayed(left, x[kLogDecay]), k, single<acc_t>(v)));
        x.set(kLeftOutputs, add(decayed(outputs, x[kLogDecay]), -read.top, g * single<acc_t>(read.out.y)));
      });
    }
  }

  void write_gradients(int64_t chunk, const BiWkvGradients& grad) const {
    const auto variables = my.variables();
    for (int64_t t = my.end(chunk) - 1; t >= my.begin(chunk); --t) {
      const io_t *k_row = my.of(my.in.k, t), *v_row = my.of(my.in.v, t);
      io_t *gk_row = my.of(grad.k, t), *gv_row = my.of(grad.v, t);
      const auto slots = my.slots(t);
      my.each([&](int64_t c, const auto& lanes) {
        const Vectors<acc_t> x = variables(c), slot = slots(c);
        const V k = lanes.load(k_row + c), v = lanes.load(v_row + c), top = slot[kTop], y = slot[kY],
                g = slot[kScaledGradient], own = exp(x[my.kU] + k - top) * g;
        const LogSums<acc_t> left = slot.log_sums(kRight), right = x.log_sums(kRightOutputs);
        const Sums<acc_t> outputs = fma(exp(k + left.exponent), left.sums, exp(k + right.exponent) * right.sums);
        lanes.store(gk_row + c, fma(own, v - y, pairing(single<acc_t>(v), outputs)));
        lanes.store(gv_row + c, own + outputs.weights);
        x.add(kByDecay, across(slot.log_sums(kLeft), right, x[kLogDecay]));
        x.set(kRightOutputs, add(decayed(right, x[kLogDecay]), -top, g * single<acc_t>(y)));
      });
    }
  }

  void finish(const BiWkvGradients& grad) const {
    my.each([&](int64_t c, const auto& lanes) {
      const Vectors<acc_t> x = my.variables()(c);
      my.add_to(grad.w, c, lanes, -x[kByDecay]);
      my.add_to(grad.u, c, lanes, x[kByBonus]);
    });
  }

  const BiWkvColumns<io_t>& my;

 private:
  // What a token reads, relative to e^top.
  struct Read {
    Read(const LogSums<acc_t>& left, const LogSums<acc_t>& right, V own, V v)
        : top(max(max(left.exponent, right.exponent), own)),
          out(fma(exp(left.exponent - top), left.sums, exp(right.exponent - top) * right.sums), exp(own - top), v) {}
    V top;
    BiWkvOutput<acc_t> out;
  };
  static LogSums<acc_t> decayed(const LogSums<acc_t>& x, V log_decay) { return {x.exponent + log_decay, x.sums}; }
  // The derivative by the log decay of what the outputs on one side read of the sources on the other.
  static V across(const LogSums<acc_t>& sources, const LogSums<acc_t>& outputs, V log_decay) {
    return exp(sources.exponent + log_decay + outputs.exponent) * pairing(sources.sums, outputs.sums);
  }

  static constexpr int kLogDecay = 2, kByDecay = 3, kByBonus = 4, kRightSums = 5, kLeftSums = 8, kLeftOutputs = 11,
                       kRightOutputs = 14;
};

}  // namespace wkv::WKV_ISA
