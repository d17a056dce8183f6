// The kernels of bi_wkv: with exponents near to each other, far apart, and as the published kernels compute it.
#include "bi_wkv/bi_wkv.h"

#include <algorithm>
#include <cmath>

#include "op_case.h"

namespace wkv::test {
namespace {

enum { kW, kU, kK, kV };

struct BiWkvTest {
  IoType io;
  int64_t T, C, compat_chunks;
  int64_t chunk;  // of tokens, that the scratch holds

  const BiWkvKernels& kernels() const { return kernels_for(bi_wkv_kernels(), io); }
  BiWkvInputs inputs(const Arrays& x) const {
    return {.w = {x[kW], x[kW].is_float()},
            .u = {x[kU], x[kU].is_float()},
            .k = x[kK],
            .v = x[kV],
            .time = T,
            .channels = C,
            .compat_chunks = compat_chunks,
            .chunk = chunk};
  }

  // The factor that e^(k_i) has in y_t, but for e^u.
  double factor(double w, int64_t t, int64_t i) const {
    const auto decay = [&](int64_t steps) { return std::exp(-w * static_cast<double>(steps)); };
    if (compat_chunks == 0) return i == t ? 0 : decay(std::abs(t - i) - 1);
    if (i > t) return decay(i - t);
    const int64_t length = (T + compat_chunks - 1) / compat_chunks, start = t / length * length;
    const double left_over = i > start ? (1 - std::exp(w)) * decay(i - t) : 0;
    return left_over + (i == t ? 0 : i < start ? decay(t - i) : decay(t - i - 1));
  }

  std::vector<Doubles> reference(const std::vector<Doubles>& x) const {
    Doubles y(T * C);
    for (int64_t c = 0; c < C; ++c) {
      double top = -INFINITY;
      for (int64_t t = 0; t < T; ++t) top = std::max(top, x[kK][t * C + c]);
      for (int64_t t = 0; t < T; ++t) {
        double values = 0, weights = 0;
        for (int64_t i = 0; i < T; ++i) {
          const double own = i == t ? std::exp(x[kU][c]) : 0;
          const double weight = (own + factor(x[kW][c], t, i)) * std::exp(x[kK][i * C + c] - top);
          values += weight * x[kV][i * C + c];
          weights += weight;
        }
        y[t * C + c] = values / weights;
      }
    }
    return {y};
  }

  Arrays forward(const Arrays& x) const {
    Array y(io, T * C);
    for (const ChannelRange range : {ChannelRange{0, C / 2}, {C / 2, C}}) {
      Memory scratch(kernels().forward_scratch(T, chunk, range.last - range.first));
      kernels().forward(inputs(x), {0, range}, y, scratch);
    }
    return {y};
  }

  Arrays backward(const Arrays& x, const Arrays& grad) const {
    const BiWkvInputs in = inputs(x);
    Arrays to;
    for (const Array& input : x) to.emplace_back(input.type(), input.size());
    const Array zeros(accumulation_type(io), Doubles(C));
    Array w = zeros, u = zeros;  // to be added to
    Memory scratch(kernels().backward_scratch(T, chunk, C));
    kernels().backward(in, {0, {0, C}}, {.y = grad[0], .k = to[kK], .v = to[kV], .w = w, .u = u}, scratch);
    kernels().sum_gradients(w, 1, C, in.w.is_float, to[kW]);
    kernels().sum_gradients(u, 1, C, in.u.is_float, to[kU]);
    // The published kernels' gradients of k and v are not those of their y.
    if (compat_chunks > 0) to[kK] = to[kV] = Array(io, 0);
    return to;
  }

  // Keys near to each other but for those of one token.
  void run(const std::string& name, double other_key) const {
    Doubles k = normal(T * C, 1);
    std::fill_n(k.begin() + T / 2 * C, C, other_key);
    check({.name = name,
           .io = io,
           .inputs =
               {{"w", io, normal(C, 0.05, 0.2)}, {"u", io, normal(C, 1)}, {"k", io, k}, {"v", io, normal(T * C, 1)}},
           .outputs = {{"y", io}},
           .reference = [this](const auto& x) { return reference(x); },
           .forward = [this](const Arrays& x) { return forward(x); },
           .backward = [this](const Arrays& x, const Arrays& grad) { return backward(x, grad); }});
  }
};

}  // namespace

void test_bi_wkv(IoType io) {
  BiWkvTest{.io = io, .T = 21, .C = 7, .compat_chunks = 0, .chunk = 21}.run("bi_wkv", 0);
  BiWkvTest{.io = io, .T = 21, .C = 7, .compat_chunks = 0, .chunk = 8}.run("bi_wkv in chunks", 0);
  BiWkvTest{.io = io, .T = 21, .C = 7, .compat_chunks = 0, .chunk = 8}.run("bi_wkv far apart", -1000);
  BiWkvTest{.io = io, .T = 21, .C = 7, .compat_chunks = 4, .chunk = 21}.run("bi_wkv as published", 0);
}

}  // namespace wkv::test
