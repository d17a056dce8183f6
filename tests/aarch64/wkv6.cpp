// The kernels that wkv6 and wkv5 share, and those of wkv6_decode_ and wkv5_decode_.
#include "wkv6/wkv6.h"

#include <cmath>
#include <utility>

#include "op_case.h"

namespace wkv::test {
namespace {

enum { kR, kK, kV, kW, kU, kState };

struct Wkv6Test {
  IoType io;
  int64_t T, H, N, M;
  bool constant, log_decay;  // the decay

  const Wkv6Kernels& kernels() const { return kernels_for(wkv6_kernels(), io); }
  Wkv6Inputs inputs(const Arrays& x) const {
    return {.r = x[kR],
            .k = x[kK],
            .v = x[kV],
            .decay = {x[kW], x[kW].is_float(), log_decay},
            .constant_decay = constant,
            .u = x[kU],
            .float_u = x[kU].is_float(),
            .heads = H,
            .key_size = N,
            .value_size = M};
  }

  std::vector<Doubles> reference(const std::vector<Doubles>& x) const {
    Doubles y(T * H * M), S = x[kState];
    for (int64_t row = 0; row < T * H; ++row) {
      const int64_t key = row * N, head = row % H;
      for (int64_t j = 0; j < M; ++j) {
        const double v = x[kV][row * M + j];
        for (int64_t i = 0; i < N; ++i) {
          double& s = S[(head * M + j) * N + i];
          const double k = x[kK][key + i], w = x[kW][constant ? head * N + i : key + i];
          y[row * M + j] += x[kR][key + i] * (s + x[kU][head * N + i] * k * v);
          s = std::exp(log_decay ? w : -std::exp(w)) * s + k * v;
        }
      }
    }
    return {y, S};
  }

  // In parts of some tokens and of some values.
  Arrays forward(const Arrays& x) const {
    const Wkv6Inputs in = inputs(x);
    Array y(io, T * H * M), state(x[kState].type(), H * M * N);
    const int64_t middle = M > kWkv6ColumnBlock ? kWkv6ColumnBlock : M, block = T > kWkv6Block ? kWkv6Block : 0;
    for (int64_t head = 0; head < H; ++head) {
      const int64_t at = head * M * N;
      for (const auto& [first, last] : {std::pair{int64_t{0}, middle}, {middle, M}}) {
        Memory scratch(kernels().forward_scratch(in));
        for (const auto& [begin, end] : {std::pair{int64_t{0}, block}, {block, T}}) {
          if (first == last || begin == end) continue;
          kernels().forward(in, {0, T, head, x[kState].at(at)}, {y, state.at(at)}, {begin, end, first, last}, scratch);
        }
      }
    }
    return {y, state};
  }

  Arrays decode(const Arrays& x) const {
    Array y(io, T * H * M), state = x[kState];
    for (int64_t row = 0; row < T * H; ++row) {
      kernels().decode(inputs(x), row, row % H, state.at(row % H * M * N), y);
    }
    return {y, state};
  }

  Arrays backward(const Arrays& x, const Arrays& grad) const {
    const Wkv6Inputs in = inputs(x);
    Arrays to;
    for (const Array& input : x) to.emplace_back(input.type(), input.size());
    // A sequence's part of a sum is not in the parameter's dtype.
    Array u(x[kState].type(), H * N), w = constant ? u : to[kW];
    for (int64_t head = 0; head < H; ++head) {
      const int64_t at = head * M * N;
      Memory scratch(kernels().backward_scratch(in, T));
      kernels().backward(in, {0, T, head, x[kState].at(at)},
                         {.y = grad[0],
                          .state_after = grad[1].at(at),
                          .r = to[kR],
                          .k = to[kK],
                          .v = to[kV],
                          .w = w.at(constant ? head * N : 0),
                          .u = u.at(head * N),
                          .state_before = to[kState].at(at)},
                         scratch);
    }
    to[kU] = u;
    to[kW] = w;
    return to;
  }

  void run(const std::string& name) const {
    const int64_t keys = T * H * N;
    const IoType acc = accumulation_type(io);
    OpCase op{.name = name,
              .io = io,
              .inputs = {{"r", io, normal(keys, 0.5)},
                         {"k", io, normal(keys, 0.5)},
                         {"v", io, normal(T * H * M, 0.5)},
                         {"w", io, normal(constant ? H * N : keys, 0.3, -1.5)},
                         {"u", io, normal(H * N, 0.5)},
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

void test_wkv6(IoType io) {
  Wkv6Test{.io = io, .T = 11, .H = 2, .N = 7, .M = 19, .constant = false, .log_decay = false}.run("wkv6");
  Wkv6Test{.io = io, .T = 3, .H = 1, .N = 20, .M = 5, .constant = false, .log_decay = true}.run("wkv6 log decay");
  Wkv6Test{.io = io, .T = 9, .H = 2, .N = 9, .M = 16, .constant = true, .log_decay = false}.run("wkv5");
}

}  // namespace wkv::test
