// bi_wkv with all weights e^k of a channel relative to one of its keys: a single exp an element. The sweeps go from the
// right (later tokens) to the left, back, and in the backward to the left once more:
//   sum_right        the weights, and for each token the sums over the sources on its right;
//   write_y          the sums over the sources on its left: y;
//   sum_left         in the backward instead, those over the sources and over the outputs on its left;
//   write_gradients  the sums over the outputs on its right: dk and dv, which come from the outputs on both sides.
// The decay's gradient pairs the sums over the sources on one side with those over the outputs on the other.
#pragma once
#include "bi_wkv/bi_wkv_columns_isa.h"

namespace wkv::WKV_ISA {

template <class io_t>
class BiWkvFast {
 public:
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;

  // Slots of a token. In the backward, the outputs' sums from the left take the place of the sources' from the right.
  static constexpr int kWeight = 0, kRight = 1, kLeft = 3, kY = 5, kScaledGradient = 6;

  explicit BiWkvFast(const BiWkvColumns<io_t>& columns) : my(columns) {
    my.start();
    const io_t* k_row = my.of(my.in.k, my.in.time - 1);
    my.each([&](int64_t c, const auto& lanes) {
      const Vectors<acc_t> x = my.variables()(c);
      x.set(kReference, lanes.load(k_row + c));
      x.set(kDecayMinusOne, exp_minus_one(-x[my.kW]));
      x.set(kBonus, exp(x[my.kU]));
    });
  }

  void save_right(int64_t chunk) const { my.save(kRightSums, 2, chunk, 0); }
  void restore_right(int64_t chunk) const { my.restore(kRightSums, 2, chunk, 0); }
  void save_left(int64_t chunk) const { my.save(kLeftSums, 4, chunk, 2); }
  void restore_left(int64_t chunk) const { my.restore(kLeftSums, 4, chunk, 2); }

  template <bool kKeep>
  void sum_right(int64_t chunk) const {
    const auto variables = my.variables();
    for (int64_t t = my.end(chunk) - 1; t >= my.begin(chunk); --t) {
      const io_t *k_row = my.of(my.in.k, t), *v_row = my.of(my.in.v, t);
      const int64_t ahead = my.ahead(t, -1);
      const auto slots = my.slots(t);
      my.each([&](int64_t c, const auto& lanes) {
        for (const io_t* soon : {k_row, v_row}) __builtin_prefetch(soon + c + ahead);
        const Vectors<acc_t> x = variables(c), slot = slots(c);
        const V relative_k = lanes.load(k_row + c) - x[kReference], weight = exp(relative_k);
        const Sums<acc_t> right = x.sums(kRightSums);
        x.set(kSpread, max(abs(relative_k), x[kSpread]));
        if constexpr (kKeep) {
          slot.set(kWeight, weight);
          slot.set(kRight, right);
        }
        x.set(kRightSums, next(x[kDecayMinusOne], right, weight * single<acc_t>(lanes.load(v_row + c))));
      });
    }
  }

  // After all of sum_right: no weight came near the limits of float.
  bool in_range() const {
    // Sums are at most T e^range, and what outputs are divided by no less than e^-range: far from e^88.
    constexpr acc_t kRange = 60;
    const acc_t distance = static_cast<acc_t>(my.in.time - 1);
    bool all = true;
    my.each([&](int64_t c, const auto&) {
      const Vectors<acc_t> x = my.variables()(c);
      const V range = x[kSpread] + distance * abs(x[my.kW]) + abs(x[my.kU]);
      for (int i = 0; i < kLanes<acc_t>; ++i) all = all && range[i] < kRange;
    });
    return all;
  }

  void write_y(int64_t chunk, void* y) const {
    const auto variables = my.variables();
    for (int64_t t = my.begin(chunk); t < my.end(chunk); ++t) {
      const io_t* v_row = my.of(my.in.v, t);
      io_t* y_row = my.of(y, t);
      const int64_t ahead = my.ahead(t, 1);
      const auto slots = my.slots(t);
      my.each([&](int64_t c, const auto& lanes) {
        __builtin_prefetch(y_row + c + ahead);
        const Vectors<acc_t> x = variables(c), slot = slots(c);
        const V v = lanes.load(v_row + c), weight = slot[kWeight];
        const Sums<acc_t> left = x.sums(kLeftSums);
        lanes.store(y_row + c, BiWkvOutput<acc_t>(left + slot.sums(kRight), x[kBonus] * weight, v).y);
        x.set(kLeftSums, next(x[kDecayMinusOne], left, weight * single<acc_t>(v)));
      });
    }
  }

  // kFirst: the first time for this chunk.
  template <bool kFirst>
  void sum_left(int64_t chunk, const BiWkvGradients& grad) const {
    const auto variables = my.variables();
    for (int64_t t = my.begin(chunk); t < my.end(chunk); ++t) {
      const io_t *v_row = my.of(my.in.v, t), *g_row = my.of(grad.y, t);
      const int64_t ahead = my.ahead(t, 1);
      const auto slots = my.slots(t);
      my.each([&](int64_t c, const auto& lanes) {
        __builtin_prefetch(g_row + c + ahead);
        const Vectors<acc_t> x = variables(c), slot = slots(c);
        const V v = lanes.load(v_row + c), weight = slot[kWeight], decay = x[kDecayMinusOne];
        const Sums<acc_t> left = x.sums(kLeftSums), right = slot.sums(kRight), outputs = x.sums(kLeftOutputs);
        const BiWkvOutput<acc_t> out(left + right, x[kBonus] * weight, v);
        const V g = lanes.load(g_row + c) * out.scale;
        if constexpr (kFirst) {
          x.set(kByBonus, fma(-out.own * g, out.less_v, x[kByBonus]));
          x.add(kByDecay, pairing(right, outputs));
        }
        slot.set(kRight, outputs);
        slot.set(kLeft, left);
        slot.set(kY, out.y);
        slot.set(kScaledGradient, g);
        x.set(kLeftSums, next(decay, left, weight * single<acc_t>(v)));
        x.set(kLeftOutputs, next(decay, outputs, g * single<acc_t>(out.y)));
      });
    }
  }

  void write_gradients(int64_t chunk, const BiWkvGradients& grad) const {
    const auto variables = my.variables();
    for (int64_t t = my.end(chunk) - 1; t >= my.begin(chunk); --t) {
      const io_t* v_row = my.of(my.in.v, t);
      io_t *gk_row = my.of(grad.k, t), *gv_row = my.of(grad.v, t);
      const int64_t ahead = my.ahead(t, -1);
      const auto slots = my.slots(t);
      my.each([&](int64_t c, const auto& lanes) {
        for (const io_t* soon : {gk_row, gv_row}) __builtin_prefetch(soon + c + ahead);
        const Vectors<acc_t> x = variables(c), slot = slots(c);
        const V v = lanes.load(v_row + c), weight = slot[kWeight], y = slot[kY], g = slot[kScaledGradient],
                own = x[kBonus] * g;
        const Sums<acc_t> right = x.sums(kRightOutputs), outputs = right + slot.sums(kRight);
        lanes.store(gk_row + c, weight * fma(own, v - y, pairing(single<acc_t>(v), outputs)));
        lanes.store(gv_row + c, weight * (own + outputs.weights));
        x.add(kByDecay, pairing(slot.sums(kLeft), right));
        x.set(kRightOutputs, next(x[kDecayMinusOne], right, g * single<acc_t>(y)));
      });
    }
  }

  void finish(const BiWkvGradients& grad) const {
    my.each([&](int64_t c, const auto& lanes) {
      const Vectors<acc_t> x = my.variables()(c);
      my.add_to(grad.w, c, lanes, -exp(-x[my.kW]) * x[kByDecay]);
      my.add_to(grad.u, c, lanes, x[kByBonus]);
    });
  }

  const BiWkvColumns<io_t>& my;

 protected:
  static constexpr int kReference = 2, kDecayMinusOne = 3, kBonus = 4, kSpread = 5, kByDecay = 6, kByBonus = 7,
                       kRightSums = 8, kLeftSums = 10, kLeftOutputs = 12, kRightOutputs = 14, kEnd = 16;
};

}  // namespace wkv::WKV_ISA
