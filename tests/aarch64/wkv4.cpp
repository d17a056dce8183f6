// The kernels of wkv4 and wkv4_decode_.
#include "wkv4/wkv4.h"

#include <algorithm>
#include <cmath>

#include "op_case.h"

namespace wkv::test {
namespace {

enum { kW, kU, kK, kV, kState };

struct Wkv4Test {
  IoType io;
  int64_t T, C;

  const Wkv4Kernels& kernels() const { return kernels_for(wkv4_kernels(), io); }
  Wkv4Inputs inputs(const Arrays& x) const {
    return {.w = {x[kW], x[kW].is_float()}, .u = {x[kU], x[kU].is_float()}, .k = x[kK], .v = x[kV], .channels = C};
  }

  std::vector<Doubles> reference(const std::vector<Doubles>& x) const {
    Doubles y(T * C), state = x[kState];
    for (int64_t i = 0; i < T * C; ++i) {
      const int64_t c = i % C;
      const double k = x[kK][i], v = x[kV][i];
      double &a = state[c], &b = state[C + c], &p = state[2 * C + c];
      const double before = std::exp(p), own = std::exp(x[kU][c] + k);
      y[i] = (before * a + own * v) / (before * b + own);
      const double decayed = p - std::exp(x[kW][c]), top = std::max(decayed, k);
      a = std::exp(decayed - top) * a + std::exp(k - top) * v;
      b = std::exp(decayed - top) * b + std::exp(k - top);
      p = top;
    }
    return {y, state};
  }

  Arrays forward(const Arrays& x) const {
    const Wkv4Inputs in = inputs(x);
    Array y(io, T * C), state(x[kState].type(), 3 * C);
    for (const ChannelRange range : {ChannelRange{0, C / 2}, {C / 2, C}}) {
      Memory scratch(kernels().forward_scratch(range.last - range.first));
      kernels().start(in, range, scratch);
      kernels().forward(in, {0, T, x[kState]}, {y, state}, range, scratch);
    }
    return {y, state};
  }

  // Token by token, in place.
  Arrays decode(const Arrays& x) const {
    const Wkv4Inputs in = inputs(x);
    Array y(io, T * C), state = x[kState];
    Memory scratch(kernels().forward_scratch(C));
    kernels().start(in, {0, C}, scratch);
    for (int64_t t = 0; t < T; ++t) kernels().forward(in, {t, 1, state}, {y, state}, {0, C}, scratch);
    return {y, state};
  }

  Arrays backward(const Arrays& x, const Arrays& grad) const {
    const Wkv4Inputs in = inputs(x);
    Arrays to;
    for (const Array& input : x) to.emplace_back(input.type(), input.size());
    const Array zeros(x[kState].type(), Doubles(C));
    Array w = zeros, u = zeros;  // to be added to
    Memory scratch(kernels().backward_scratch(C, T));
    kernels().start(in, {0, C}, scratch);
    kernels().backward(
        in, {0, T, x[kState]},
        {.y = grad[0], .state_after = grad[1], .k = to[kK], .v = to[kV], .state_before = to[kState], .w = w, .u = u},
        {0, C}, scratch);
    kernels().sum_gradients(w, 1, C, in.w.is_float, to[kW]);
    kernels().sum_gradients(u, 1, C, in.u.is_float, to[kU]);
    return to;
  }
};

}  // namespace

void test_wkv4(IoType io) {
  const Wkv4Test test{.io = io, .T = 37, .C = 7};  // longer than what the backward takes at once
  const IoType acc = accumulation_type(io);
  Doubles state = normal(3 * test.C, 1);
  for (int64_t c = 0; c < test.C; ++c) state[test.C + c] = 1 + std::abs(state[test.C + c]);  // the sum of weights
  OpCase op{.name = "wkv4",
            .io = io,
            .inputs = {{"w", io, normal(test.C, 1, -1)},
                       {"u", io, normal(test.C, 1)},
                       {"k", io, normal(test.T * test.C, 1)},
                       {"v", io, normal(test.T * test.C, 1)},
                       {"state", acc, state}},
            .outputs = {{"y", io}, {"state after", acc}},
            .reference = [&](const auto& x) { return test.reference(x); },
            .forward = [&](const Arrays& x) { return test.forward(x); },
            .backward = [&](const Arrays& x, const Arrays& grad) { return test.backward(x, grad); }};
  check(op);
  op.name = "wkv4 decode";
  op.forward = [&](const Arrays& x) { return test.decode(x); };
  op.backward = nullptr;
  check(op);
}

}  // namespace wkv::test
