// bi_wkv as the published kernels compute it, which cut the tokens into chunks; but for their 1e-6 in the denominator,
// and like them without a guard for exponents beyond the reach of float. With the first token s of t's chunk, e^(k_i)
// has in y_t the factor
//   i < s: e^(-w (t - i)),   s <= i < t: e^(-w (t - i - 1)),   i > t: e^(-w (i - t)),   and i = t: e^u;
//   s < i <= t: (1 - e^w) e^(w (t - i)) more, left over from a difference of sums.
// The gradients of w and u are those of this y; the gradients of k and v have the factors of the definition.
#pragma once
#include "bi_wkv/bi_wkv_fast_isa.h"

namespace wkv::WKV_ISA {

// All tokens are one chunk of the scratch.
template <class io_t>
class BiWkvCompat : public BiWkvFast<io_t> {
 public:
  using Fast = BiWkvFast<io_t>;
  using Fast::my;
  using typename Fast::acc_t;
  using typename Fast::V;

  explicit BiWkvCompat(const BiWkvColumns<io_t>& columns) : Fast(columns) {
    my.each([&](int64_t c, const auto&) {
      const Vectors<acc_t> x = my.variables()(c);
      x.set(kGrowthMinusOne, exp_minus_one(x[my.kW]));
    });
  }

  bool in_range() const { return true; }

  void write_y(int64_t, void* y) const {
    for (int64_t t = 0; t < my.in.time; ++t) {
      const io_t* v_row = my.of(my.in.v, t);
      io_t* y_row = my.of(y, t);
      my.each([&](int64_t c, const auto& lanes) {
        const Vectors<acc_t> x = my.variables()(c), slot = my.slots(t)(c);
        const V v = lanes.load(v_row + c), weight = slot[Fast::kWeight];
        const Sums<acc_t> others = read(t, x, weight * single<acc_t>(v), {slot.sums(Fast::kRight), {}}).sums;
        lanes.store(y_row + c, BiWkvOutput<acc_t>(others, x[kBonus] * weight, v).y);
      });
    }
  }

  template <bool kFirst>
  void sum_left(int64_t, const BiWkvGradients& grad) const {
    sum_right_slopes();
    for (int64_t t = 0; t < my.in.time; ++t) {
      const io_t *v_row = my.of(my.in.v, t), *g_row = my.of(grad.y, t);
      my.each([&](int64_t c, const auto& lanes) {
        const Vectors<acc_t> x = my.variables()(c), slot = my.slots(t)(c);
        const V v = lanes.load(v_row + c), weight = slot[Fast::kWeight];
        const Sums<acc_t> outputs = x.sums(kLeftOutputs);
        const WithSlope others =
            read(t, x, weight * single<acc_t>(v), {slot.sums(Fast::kRight), slot.sums(kRightSlope)});
        const BiWkvOutput<acc_t> out(others.sums, x[kBonus] * weight, v);
        const V g = lanes.load(g_row + c) * out.scale;
        x.set(kByBonus, fma(-out.own * g, out.less_v, x[kByBonus]));
        x.add(kByW, pairing(others.slope, g * single<acc_t>(out.y)));
        slot.set(Fast::kRight, outputs);
        slot.set(Fast::kLeft, Sums<acc_t>());
        slot.set(Fast::kY, out.y);
        slot.set(Fast::kScaledGradient, g);
        x.set(kLeftOutputs, next(x[kDecayMinusOne], outputs, g * single<acc_t>(out.y)));
      });
    }
  }

  void finish(const BiWkvGradients& grad) const {
    my.each([&](int64_t c, const auto& lanes) {
      const Vectors<acc_t> x = my.variables()(c);
      my.add_to(grad.w, c, lanes, x[kByW]);
      my.add_to(grad.u, c, lanes, x[kByBonus]);
    });
  }

 private:
  // The slots of the sums on the left hold the derivatives by w of the sums on the right first, then zeros:
  // write_gradients would pair them for the decay's gradient, which here has been summed before.
  static constexpr int kRightSlope = Fast::kLeft;

  // Sums over sources, and their derivative by w.
  struct WithSlope {
    Sums<acc_t> sums, slope;
  };
  static WithSlope load_both(const Vectors<acc_t>& x, int i) { return {x.sums(i), x.sums(i + 2)}; }
  static void set_both(const Vectors<acc_t>& x, int i, const WithSlope& both) {
    x.set(i, both.sums);
    x.set(i + 2, both.slope);
  }
  static Sums<acc_t> minus(const Sums<acc_t>& x) { return broadcast<acc_t>(-1) * x; }
  // Times a factor e^(-w), given as that - 1; or times e^w.
  static WithSlope decayed(V minus_one, const WithSlope& x) {
    const Sums<acc_t> sums = fma(minus_one, x.sums, x.sums);
    return {sums, fma(minus_one, x.slope, x.slope) + minus(sums)};
  }
  static WithSlope grown(V minus_one, const WithSlope& x) {
    const Sums<acc_t> sums = fma(minus_one, x.sums, x.sums);
    return {sums, fma(minus_one, x.slope, x.slope) + sums};
  }

  // What token t reads of the others; moves the sums on the left to the next token.
  WithSlope read(int64_t t, const Vectors<acc_t>& x, const Sums<acc_t>& source, const WithSlope& right_of_t) const {
    const V decay = x[kDecayMinusOne], growth = x[kGrowthMinusOne];
    const WithSlope right = decayed(decay, right_of_t);
    WithSlope before = load_both(x, kBeforeChunk), within = load_both(x, kWithinChunk), again = load_both(x, kLeftOver);
    if (t % length == 0) {
      const WithSlope handed_over = decayed(decay, within);
      before = {before.sums + handed_over.sums, before.slope + handed_over.slope};
      within = again = WithSlope();
    } else {
      again = grown(growth, again);
      again.sums = again.sums + source;
    }
    const WithSlope further = decayed(decay, within);
    set_both(x, kBeforeChunk, decayed(decay, before));
    set_both(x, kWithinChunk, {further.sums + source, further.slope});
    set_both(x, kLeftOver, again);
    // The derivative of 1 - e^w is -e^w.
    return {fma(-growth, again.sums, before.sums + within.sums + right.sums),
            fma(-growth, again.slope + again.sums, before.slope + within.slope + right.slope + minus(again.sums))};
  }

  void sum_right_slopes() const {
    for (int64_t t = my.in.time - 1; t >= 0; --t) {
      my.each([&](int64_t c, const auto&) {
        const Vectors<acc_t> x = my.variables()(c), slot = my.slots(t)(c);
        const Sums<acc_t> slope = x.sums(kRightSlopes);
        slot.set(kRightSlope, slope);
        x.set(kRightSlopes, decayed(x[kDecayMinusOne], {slot.sums(Fast::kRight), slope}).slope);
      });
    }
  }

  using Fast::kBonus;
  using Fast::kByBonus;
  using Fast::kDecayMinusOne;
  using Fast::kLeftOutputs;
  // The sums on the left are of the chunks before, of this chunk, and once more of this chunk but its first token.
  static constexpr int kGrowthMinusOne = Fast::kEnd, kByW = kGrowthMinusOne + 1, kRightSlopes = kByW + 1,
                       kBeforeChunk = kRightSlopes + 2, kWithinChunk = kBeforeChunk + 4, kLeftOver = kWithinChunk + 4;
  static_assert(kLeftOver + 4 <= BiWkvColumns<io_t>::kVariables);
  const int64_t length = (my.in.time + my.in.compat_chunks - 1) / my.in.compat_chunks;  // of the published chunks
};

}  // namespace wkv::WKV_ISA
