// The kernels of bi_wkv6.
#include "bi_wkv6/bi_wkv6.h"

#include <cmath>

#include "op_case.h"

namespace wkv::test {
namespace {

enum { kR, kK, kV, kW, kU };

struct BiWkv6Test {
  IoType io;
  int64_t T, H, N, M;

  const BiWkv6Kernels& kernels() const { return kernels_for(bi_wkv6_kernels(), io); }
  Wkv6Inputs inputs(const Arrays& x) const {
    return {.r = x[kR],
            .k = x[kK],
            .v = x[kV],
            .decay = {x[kW], x[kW].is_float(), /*log_decay=*/false},
            .constant_decay = false,
            .u = x[kU],
            .float_u = x[kU].is_float(),
            .heads = H,
            .key_size = N,
            .value_size = M};
  }

  // By sums over all pairs of tokens: between two of them, the decays of those in between.
  std::vector<Doubles> reference(const std::vector<Doubles>& x) const {
    Doubles y(T * H * M);
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t h = 0; h < H; ++h) {
        for (int64_t i = 0; i < N; ++i) {
          const auto key = [&](int64_t token) { return (token * H + h) * N + i; };
          const auto add = [&](int64_t s, double factor) {
            const double a = x[kR][key(t)] * factor * x[kK][key(s)];
            for (int64_t j = 0; j < M; ++j) y[(t * H + h) * M + j] += a * x[kV][(s * H + h) * M + j];
          };
          add(t, x[kU][h * N + i]);
          for (const int64_t step : {-1, 1}) {
            double factor = 1;
            for (int64_t s = t + step; s >= 0 && s < T; s += step) {
              add(s, factor);
              factor *= std::exp(-std::exp(x[kW][key(s)]));
            }
          }
        }
      }
    }
    return {y};
  }

  Arrays forward(const Arrays& x) const {
    const Wkv6Inputs in = inputs(x);
    Array y(io, T * H * M);
    for (int64_t head = 0; head < H; ++head) {
      Memory scratch(kernels().forward_scratch(in, T));
      kernels().forward(in, {0, T, head, nullptr}, y, 0, kWkv6ColumnBlock, scratch);
      kernels().forward(in, {0, T, head, nullptr}, y, kWkv6ColumnBlock, M, scratch);
    }
    return {y};
  }

  Arrays backward(const Arrays& x, const Arrays& grad) const {
    const Wkv6Inputs in = inputs(x);
    Arrays to;
    for (const Array& input : x) to.emplace_back(input.type(), input.size());
    to[kU] = Array(accumulation_type(io), H * N);
    for (int64_t head = 0; head < H; ++head) {
      Memory scratch(kernels().backward_scratch(in, T));
      kernels().backward(in, {0, T, head, nullptr},
                         {.y = grad[0],
                          .state_after = nullptr,
                          .r = to[kR],
                          .k = to[kK],
                          .v = to[kV],
                          .w = to[kW],
                          .u = to[kU].at(head * N),
                          .state_before = nullptr},
                         scratch);
    }
    return to;
  }
};

}  // namespace

void test_bi_wkv6(IoType io) {
  const BiWkv6Test test{.io = io, .T = 11, .H = 2, .N = 7, .M = 19};
  const int64_t keys = test.T * test.H * test.N;
  check({.name = "bi_wkv6",
         .io = io,
         .inputs = {{"r", io, normal(keys, 0.5)},
                    {"k", io, normal(keys, 0.5)},
                    {"v", io, normal(test.T * test.H * test.M, 0.5)},
                    {"w", io, normal(keys, 0.3, -1.5)},
                    {"u", io, normal(test.H * test.N, 0.5)}},
         .outputs = {{"y", io}},
         .reference = [&](const auto& x) { return test.reference(x); },
         .forward = [&](const Arrays& x) { return test.forward(x); },
         .backward = [&](const Arrays& x, const Arrays& grad) { return test.backward(x, grad); }});
}

}  // namespace wkv::test
