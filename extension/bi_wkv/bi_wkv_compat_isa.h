// bi_wkv as the published kernels compute it, which cut the tokens into chunks; but for their 1e-6 in the denominator,
// and like them without a guard for exponents beyond the reach of float. With the first token s of t's chunk, e^(k_i)
// has in y_t the factor
//   i < s: e^(-w (t - i)),   s <= i < t: e^(-w (t - i - 1)),   i > t: e^(-w (i - t)),   and i = t: e^u;
//   s < i <= t: (1 - e^w) e^(w (t - i)) more, left over from a difference of sums.
// The gradients of w and u are those of this y; the gradients of k and v have the factors of the definition.
#pragma once
#include "bi_wkv/bi_wkv_fast_isa.h"

namespace wkv::WKV_ISA {

template <class io_t>
class BiWkvCompat : private BiWkvFast<io_t> {
 public:
  using Fast = BiWkvFast<io_t>;
  using typename Fast::acc_t;
  using typename Fast::V;

  explicit BiWkvCompat(const BiWkvColumns<io_t>& columns) : Fast(columns) {
    my.clear(kFirstRow, kNewRows);
    my.each([&](int64_t c, const auto&) { store(growth_minus_one + c, exp_minus_one(load(my.w() + c))); });
    Fast::sum_right();
  }

  void write_y(void* y) const {
    for (int64_t t = 0; t < my.in.time; ++t) {
      const io_t* v_row = my.of(my.in.v, t);
      io_t* y_row = my.of(y, t);
      my.each([&](int64_t c, const auto& lanes) {
        const Sums<acc_t> source = Fast::source_of(t, c, lanes.load(v_row + c));
        const Sums<acc_t> all = read(t, c, source).all;
        lanes.store(y_row + c, all.values / all.weights);
      });
    }
  }

  void write_gradients(const BiWkvGradients& grad) const {
    sum_right_slopes();
    sum_outputs_left(grad);
    Fast::sum_outputs_right(grad);
    my.each([&](int64_t c, const auto& lanes) {
      my.add_to(grad.w, c, lanes, load(by_w + c));
      my.add_to(grad.u, c, lanes, load(by_bonus + c));
    });
  }

 private:
  // The slots of the sums on the left hold the derivatives by w of the sums on the right first, then zeros: the
  // gradient of w has been summed when the last sweep pairs them.
  static constexpr int kRightSlope = Fast::kLeft;

  // Sums over sources, and their derivative by w.
  struct WithSlope {
    Sums<acc_t> sums, slope;
  };
  struct WithSlopeRow {
    WithSlope load(int64_t c) const { return {sums.load(c), slope.load(c)}; }
    void store(int64_t c, const WithSlope& x) const {
      sums.store(c, x.sums);
      slope.store(c, x.slope);
    }
    SumsRow<acc_t> sums, slope;
  };
  // Times a factor e^(-w), given as that - 1; or times e^w.
  static WithSlope decayed(V minus_one, const WithSlope& x) {
    const Sums<acc_t> sums = fma(minus_one, x.sums, x.sums);
    return {sums, fma(minus_one, x.slope, x.slope) + broadcast<acc_t>(-1) * sums};
  }
  static WithSlope grown(V minus_one, const WithSlope& x) {
    const Sums<acc_t> sums = fma(minus_one, x.sums, x.sums);
    return {sums, fma(minus_one, x.slope, x.slope) + sums};
  }

  struct Read {
    Sums<acc_t> all, slope;
  };
  // What token t reads; moves the sums on the left to the next token.
  Read read(int64_t t, int64_t c, const Sums<acc_t>& source) const {
    const V d = load(decay_minus_one + c), g = load(growth_minus_one + c);
    const WithSlope right = decayed(d, {my.sums(t, Fast::kRight).load(c), my.sums(t, kRightSlope).load(c)});
    WithSlope before = before_chunk.load(c), within = within_chunk.load(c), left_over = leftover.load(c);
    if (t % chunk == 0) {
      const WithSlope handed_over = decayed(d, within);
      before = {before.sums + handed_over.sums, before.slope + handed_over.slope};
      within = left_over = WithSlope();
    } else {
      left_over = grown(g, left_over);
      left_over.sums = left_over.sums + source;
    }
    const Sums<acc_t> all = fma(load(bonus + c), source, before.sums + within.sums + right.sums);
    const Sums<acc_t> slope = before.slope + within.slope + right.slope;
    // The derivative of 1 - e^w is -e^w = -g - 1.
    const Read result{fma(-g, left_over.sums, all),
                      fma(-g, left_over.slope + left_over.sums, slope + broadcast<acc_t>(-1) * left_over.sums)};
    within = decayed(d, within);
    within.sums = within.sums + source;
    before_chunk.store(c, decayed(d, before));
    within_chunk.store(c, within);
    leftover.store(c, left_over);
    return result;
  }

  void sum_right_slopes() const {
    for (int64_t t = my.in.time - 1; t >= 0; --t) {
      my.each([&](int64_t c, const auto&) {
        const Sums<acc_t> slope = right_slope.load(c);
        my.sums(t, kRightSlope).store(c, slope);
        right_slope.store(c, decayed(load(decay_minus_one + c), {my.sums(t, Fast::kRight).load(c), slope}).slope);
      });
    }
  }

  void sum_outputs_left(const BiWkvGradients& grad) const {
    for (int64_t t = 0; t < my.in.time; ++t) {
      const io_t *v_row = my.of(my.in.v, t), *g_row = my.of(grad.y, t);
      my.each([&](int64_t c, const auto& lanes) {
        const V e_u = load(bonus + c);
        const Sums<acc_t> source = Fast::source_of(t, c, lanes.load(v_row + c)), outputs = left_outputs.load(c);
        const Read x = read(t, c, source);
        const V scale = 1 / x.all.weights;
        const Sums<acc_t> output = (lanes.load(g_row + c) * scale) * single<acc_t>(x.all.values * scale);
        store(by_bonus + c, load(by_bonus + c) + pairing(e_u * source, output));
        store(by_w + c, load(by_w + c) + pairing(x.slope, output));
        my.sums(t, Fast::kRight).store(c, fma(e_u, output, outputs));
        my.sums(t, Fast::kLeft).store(c, Sums<acc_t>());
        my.sums(t, Fast::kOutput).store(c, output);
        left_outputs.store(c, next(load(decay_minus_one + c), outputs, output));
      });
    }
  }

  using Fast::bonus;
  using Fast::by_bonus;
  using Fast::decay_minus_one;
  using Fast::left_outputs;
  using Fast::my;
  static constexpr int kFirstRow = Fast::kRows, kNewRows = 16;
  const int64_t chunk = (my.in.time + my.in.compat_chunks - 1) / my.in.compat_chunks;
  acc_t *const growth_minus_one = my.row(kFirstRow), *const by_w = my.row(kFirstRow + 1);
  const SumsRow<acc_t> right_slope = my.sums(kFirstRow + 2);
  // The tokens on the left: of the chunks before, of this chunk, and once more of this chunk but its first.
  const WithSlopeRow before_chunk{my.sums(kFirstRow + 4), my.sums(kFirstRow + 6)},
      within_chunk{my.sums(kFirstRow + 8), my.sums(kFirstRow + 10)},
      leftover{my.sums(kFirstRow + 12), my.sums(kFirstRow + 14)};
};

}  // namespace wkv::WKV_ISA
