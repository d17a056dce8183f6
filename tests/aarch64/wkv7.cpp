// The kernels of wkv7 and wkv7_decode_.
#include "wkv7/wkv7.h"

#include <cmath>
#include <utility>

#include "op_case.h"

namespace wkv::test {
namespace {

enum { kR, kW, kK, kV, kA, kB, kState };

struct Wkv7Test {
  IoType io;
  int64_t T, H, N, M;
  bool log_decay;

  const Wkv7Kernels& kernels() const { return kernels_for(wkv7_kernels(), io); }
  Wkv7Inputs inputs(const Arrays& x) const {
    return {.r = x[kR],
            .k = x[kK],
            .v = x[kV],
            .a = x[kA],
            .b = x[kB],
            .decay = {x[kW], x[kW].is_float(), log_decay},
            .heads = H,
            .key_size = N,
            .value_size = M};
  }

  std::vector<Doubles> reference(const std::vector<Doubles>& x) const {
    Doubles y(T * H * M), S = x[kState];
    for (int64_t row = 0; row < T * H; ++row) {
      const int64_t key = row * N, head = row % H;
      for (int64_t j = 0; j < M; ++j) {
        double* const s = &S[(head * M + j) * N];
        double sa = 0;
        for (int64_t i = 0; i < N; ++i) sa += x[kA][key + i] * s[i];
        for (int64_t i = 0; i < N; ++i) {
          const double w = x[kW][key + i], d = std::exp(log_decay ? w : -std::exp(w));
          s[i] = d * s[i] + x[kK][key + i] * x[kV][row * M + j] + x[kB][key + i] * sa;
          y[row * M + j] += x[kR][key + i] * s[i];
        }
      }
    }
    return {y, S};
  }

  // In parts of some tokens and of some values.
  Arrays forward(const Arrays& x) const {
    const Wkv7Inputs in = inputs(x);
    Array y(io, T * H * M), state(x[kState].type(), H * M * N);
    const int64_t middle = M > kWkv7ColumnBlock ? kWkv7ColumnBlock : M;
    for (int64_t head = 0; head < H; ++head) {
      const int64_t at = head * M * N;
      for (const auto& [first, last] : {std::pair{int64_t{0}, middle}, {middle, M}}) {
        Memory scratch(kernels().forward_scratch(in));
        for (const auto& [begin, end] : {std::pair{int64_t{0}, T / 2}, {T / 2, T}}) {
          if (first == last || begin == end) continue;
          kernels().forward(in, {0, T, head, x[kState].at(at)}, {y, state.at(at)}, {begin, end, first, last}, scratch);
        }
      }
    }
    return {y, state};
  }

  // Token by token, in place.
  Arrays decode(const Arrays& x) const {
    const Wkv7Inputs in = inputs(x);
    Array y(io, T * H * M), state = x[kState];
    for (int64_t row = 0; row < T * H; ++row) {
      void* const own = state.at(row % H * M * N);
      Memory scratch(kernels().forward_scratch(in));
      kernels().forward(in, {row / H, 1, row % H, own}, {y, own}, {0, 1, 0, M}, scratch);
    }
    return {y, state};
  }

  Arrays backward(const Arrays& x, const Arrays& grad) const {
    const Wkv7Inputs in = inputs(x);
    Arrays to;
    for (const Array& input : x) to.emplace_back(input.type(), input.size());
    for (int64_t head = 0; head < H; ++head) {
      const int64_t at = head * M * N;
      Memory scratch(kernels().backward_scratch(in, T));
      kernels().backward(in, {0, T, head, x[kState].at(at)},
                         {.y = grad[0],
                          .state_after = grad[1].at(at),
                          .r = to[kR],
                          .w = to[kW],
                          .k = to[kK],
                          .v = to[kV],
                          .a = to[kA],
                          .b = to[kB],
                          .state_before = to[kState].at(at)},
                         scratch);
    }
    return to;
  }

  void run(const std::string& name) const {
    const int64_t keys = T * H * N;
    const IoType acc = accumulation_type(io);
    OpCase op{.name = name,
              .io = io,
              .inputs = {{"r", io, normal(keys, 0.5)},
                         {"w", io, normal(keys, 0.3, -1.5)},
                         {"k", io, normal(keys, 0.5)},
                         {"v", io, normal(T * H * M, 0.5)},
                         {"a", io, normal(keys, 0.2)},
                         {"b", io, normal(keys, 0.2)},
                         {"state", acc, normal(H * M * N, 1)}},
              .outputs = {{"y", io}, {"state after", acc}},
              .reference = [this](const auto& x) { return reference(x); },
              .forward = [this](const Arrays& x) { return forward(x); },
              .backward = [this](const Arrays& x, const Arrays& grad) { return backward(x, grad); }};
    check(op);
    op.name = name + " decode";
    op.forward = [this](const Arrays& x) { return decode(x); };
    op.backward = nullptr;
    check(op);
  }
};

}  // namespace

void test_wkv7(IoType io) {
  Wkv7Test{.io = io, .T = 11, .H = 2, .N = 7, .M = 19, .log_decay = false}.run("wkv7");
  Wkv7Test{.io = io, .T = 1, .H = 1, .N = 20, .M = 5, .log_decay = false}.run("wkv7 one token");
  Wkv7Test{.io = io, .T = 5, .H = 1, .N = 16, .M = 16, .log_decay = true}.run("wkv7 log decay");
}

}  // namespace wkv::test
