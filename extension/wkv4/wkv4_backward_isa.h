// The backward of wkv4: the entry that wkv4_isa.cpp puts into the kernel table.
//
// The state before every chunk of tokens is kept; the states within a chunk are computed again from it before the sweep
// back through the chunk. With the adjoints ga, gb of a state's a, b, the adjoint of its p is a ga + b gb + r: were the
// outputs all that the loss depends on, r would be 0, because only a e^p and b e^p matter to them. What a gradient of
// the state after adds beyond that, r, goes back unchanged to where the maximum p came from: a token's key or p before.
// All factors are at most 1.
#pragma once
#include "wkv4/wkv4_step_isa.h"

namespace wkv::WKV_ISA {

inline constexpr int64_t kWkv4Chunk = 32;

template <class acc_t>
struct Wkv4BackwardScratch {
  Wkv4BackwardScratch(Arena& arena, int64_t channels, int64_t longest)
      : parameters(arena, channels), width(padded<acc_t>(channels)) {
    for (acc_t** row : {&ga, &gb, &r, &gw, &gu}) *row = arena.take<acc_t>(width);
    checkpoints = arena.take<acc_t>((longest + kWkv4Chunk - 1) / kWkv4Chunk * 3 * width);
    states = arena.take<acc_t>((kWkv4Chunk + 1) * 3 * width);
    exps = arena.take<acc_t>(kWkv4Chunk * width);
  }
  Wkv4StateRows<acc_t> checkpoint(int64_t chunk) const { return {checkpoints + chunk * 3 * width, width}; }
  Wkv4StateRows<acc_t> state(int64_t t) const { return {states + t * 3 * width, width}; }

  Wkv4Parameters<acc_t> parameters;
  int64_t width;
  acc_t *ga, *gb, *r;    // adjoints of the state after the token that the sweep has come to
  acc_t *gw, *gu;        // sums over the tokens
  acc_t* checkpoints;    // [chunks][3][width]: the state before each chunk
  acc_t *states, *exps;  // of the present chunk: [chunk + 1][3][width] before each token and after the last; the
                         // exp that each token's step took
};

template <class io_t>
int64_t wkv4_backward_scratch(int64_t channels, int64_t longest) {
  Arena arena(nullptr);
  Wkv4BackwardScratch<accumulate_t<io_t>>(arena, channels, longest);
  return arena.used();
}

template <class io_t>
class Wkv4Backward {
 public:
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;

  Wkv4Backward(const Wkv4Inputs& in, const Wkv4Sequence& sequence, const Wkv4Gradients& grad, ChannelRange range,
               void* scratch)
      : in_(in),
        sequence_(sequence),
        grad_(grad),
        range_(range),
        arena_(scratch),
        my_(arena_, range.last - range.first, sequence.length) {}

  void run() {
    const Wkv4StateRows<acc_t> state = my_.state(0);
    wkv4_load_state(sequence_.state_before, in_.channels, range_, state);
    const int64_t last = sequence_.length > 0 ? (sequence_.length - 1) / kWkv4Chunk : 0;
    for (int64_t chunk = 0; chunk < last; ++chunk) {
      copy_state(state, my_.checkpoint(chunk));
      compute_states<false>(chunk * kWkv4Chunk, kWkv4Chunk);
    }
    for (int64_t chunk = last; chunk >= 0; --chunk) {
      const int64_t first = chunk * kWkv4Chunk, length = chunk < last ? kWkv4Chunk : sequence_.length - first;
      if (chunk < last) copy_state(my_.checkpoint(chunk), state);
      compute_states<true>(first, length);
      if (chunk == last) start(my_.state(length));
      for (int64_t t = length - 1; t >= 0; --t) back(first, t);
    }
    finish();
  }

 private:
  int64_t width() const { return range_.last - range_.first; }
  int64_t row(int64_t t) const { return (sequence_.first_token + t) * in_.channels + range_.first; }

  // From a row of token t to that which is to be asked for, for a sweep in this direction (1, -1).
  int64_t ahead(int64_t t, int direction) const {
    const int64_t tokens = direction * tokens_ahead(width());
    return t + tokens >= 0 && t + tokens < sequence_.length ? tokens * in_.channels : 0;
  }

  void copy_state(const Wkv4StateRows<acc_t>& from, const Wkv4StateRows<acc_t>& to) const {
    for_channels<acc_t>(0, my_.width, [&](int64_t c, const auto& lanes) { to.store(c, lanes, from.load(c, lanes)); });
  }

  // The state after the tokens of the chunk that starts at token `first`, from my_.state(0); each is kept, or takes its
  // place.
  template <bool kKeep>
  void compute_states(int64_t first, int64_t length) {
    const acc_t* log_decay = my_.parameters.log_decay;
    for (int64_t t = 0; t < length; ++t) {
      const io_t *k_row = row_of<io_t>(in_.k, row(first + t)), *v_row = row_of<io_t>(in_.v, row(first + t));
      const Wkv4StateRows<acc_t> before = my_.state(kKeep ? t : 0), after = my_.state(kKeep ? t + 1 : 0);
      acc_t* exps = my_.exps + t * my_.width;
      const int64_t ahead = this->ahead(first + t, 1);
      for_channels<acc_t>(0, width(), [&](int64_t c, const auto& lanes) {
        for (const io_t* soon : {k_row, v_row}) __builtin_prefetch(soon + c + ahead);
        const V k = lanes.load(k_row + c), v = lanes.load(v_row + c);
        const LogSums<acc_t> state = before.load(c, WholeVector<acc_t>());
        const RelativeExp<acc_t> e(state.exponent + load(log_decay + c), k);
        if constexpr (kKeep) store(exps + c, e.smaller);
        after.store(c, WholeVector<acc_t>(), {e.top, fma(e.first, state.sums, e.second * single<acc_t>(v))});
      });
    }
  }

  // The adjoints of the state after the last token.
  void start(const Wkv4StateRows<acc_t>& after) {
    const Wkv4StateRows<const acc_t> given(row_of<acc_t>(grad_.state_after, range_.first), in_.channels);
    for_channels<acc_t>(0, width(), [&](int64_t c, const auto& lanes) {
      const LogSums<acc_t> g = given.load(c, lanes), state = after.load(c, WholeVector<acc_t>());
      store(my_.ga + c, g.sums.values);
      store(my_.gb + c, g.sums.weights);
      store(my_.r + c, g.exponent - state.sums.values * g.sums.values - state.sums.weights * g.sums.weights);
      store(my_.gw + c, V{});
      store(my_.gu + c, V{});
    });
  }

  // Backwards through token t of the chunk that starts at token `first`.
  void back(int64_t first, int64_t t) {
    const int64_t at = row(first + t);
    const io_t *k_row = row_of<io_t>(in_.k, at), *v_row = row_of<io_t>(in_.v, at), *g_row = row_of<io_t>(grad_.y, at);
    io_t *gk_row = row_of<io_t>(grad_.k, at), *gv_row = row_of<io_t>(grad_.v, at);
    const Wkv4StateRows<acc_t> before = my_.state(t);
    const acc_t* exps = my_.exps + t * my_.width;
    const int64_t ahead = this->ahead(first + t, -1);
    for_channels<acc_t>(0, width(), [&](int64_t c, const auto& lanes) {
      for (const io_t* soon :
           {k_row, v_row, g_row, static_cast<const io_t*>(gk_row), static_cast<const io_t*>(gv_row)}) {
        __builtin_prefetch(soon + c + ahead);
      }
      const V k = lanes.load(k_row + c), v = lanes.load(v_row + c), zero = {};
      const LogSums<acc_t> state = before.load(c, WholeVector<acc_t>());
      const V a = state.sums.values, b = state.sums.weights;

      // The step of the state.
      const V decayed = state.exponent + load(my_.parameters.log_decay + c);
      const RelativeExp<acc_t> step(decayed, k, load(exps + c));
      V ga = load(my_.ga + c), gb = load(my_.gb + c);
      const V r = load(my_.r + c), r_before = decayed > k ? r : zero;
      store(my_.r + c, r_before);
      store(my_.gw + c, load(my_.gw + c) + fma(step.first, fma(a, ga, b * gb), r_before));
      V gk = fma(step.second, fma(v, ga, gb), r - r_before), gv = step.second * ga;
      ga *= step.first, gb *= step.first;

      // The output.
      const V bonus = load(my_.parameters.u + c) + k;
      const RelativeExp<acc_t> read(state.exponent, bonus);
      const Sums<acc_t> all = fma(read.first, state.sums, read.second * single<acc_t>(v));
      const V scale = 1 / all.weights, y = all.values * scale, g = lanes.load(g_row + c) * scale;
      const V own = read.second * g, gu = own * (v - y), past = read.first * g;
      store(my_.gu + c, load(my_.gu + c) + gu);
      store(my_.ga + c, ga + past);
      store(my_.gb + c, fma(-past, y, gb));
      lanes.store(gk_row + c, gk + gu);
      lanes.store(gv_row + c, gv + own);
    });
  }

  void finish() {
    const Wkv4StateRows<acc_t> before = my_.state(0);
    const Wkv4StateRows<acc_t> to(row_of<acc_t>(grad_.state_before, range_.first), in_.channels);
    for_channels<acc_t>(0, width(), [&](int64_t c, const auto& lanes) {
      acc_t *w = row_of<acc_t>(grad_.w, range_.first + c), *u = row_of<acc_t>(grad_.u, range_.first + c);
      // The derivative of the log decay -exp(w) is the log decay itself.
      lanes.store(w, fma(load(my_.gw + c), load(my_.parameters.log_decay + c), lanes.load(w)));
      lanes.store(u, lanes.load(u) + load(my_.gu + c));
      if (grad_.state_before) {
        const V ga = load(my_.ga + c), gb = load(my_.gb + c);
        const Sums<acc_t> s = before.load(c, WholeVector<acc_t>()).sums;
        to.store(c, lanes, {fma(s.values, ga, fma(s.weights, gb, load(my_.r + c))), {ga, gb}});
      }
    });
  }

  const Wkv4Inputs in_;
  const Wkv4Sequence sequence_;
  const Wkv4Gradients grad_;
  const ChannelRange range_;
  Arena arena_;
  const Wkv4BackwardScratch<acc_t> my_;
};

template <class io_t>
void wkv4_backward(const Wkv4Inputs& in, const Wkv4Sequence& sequence, const Wkv4Gradients& grad, ChannelRange range,
                   void* scratch) {
  Wkv4Backward<io_t>(in, sequence, grad, range, scratch).run();
}

}  // namespace wkv::WKV_ISA
