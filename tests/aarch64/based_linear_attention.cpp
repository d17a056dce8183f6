// The kernels of based_linear_attention and _based_decode_.
#include "based_linear_attention/based_linear_attention.h"

#include <cmath>

#include "op_case.h"

namespace wkv::test {
namespace {

enum { kQ, kK, kV, kKvState, kKState };

struct BasedTest {
  IoType io;
  int64_t T, H, d, dv;
  bool normalize;

  static constexpr double kEps = 1e-12;

  const BasedKernels& kernels() const { return kernels_for(based_kernels(), io); }
  BasedInputs inputs(const Arrays& x) const {
    return {.q = x[kQ],
            .k = x[kK],
            .v = x[kV],
            .heads = H,
            .feature_size = d,
            .value_size = dv,
            .normalize = normalize,
            .eps = kEps};
  }
  int64_t D() const { return 1 + d + d * d; }  // features

  // Those whose inner product is 1 + x + x^2 / 2.
  Doubles features(const double* x) const {
    const double root = std::sqrt(static_cast<double>(d));
    Doubles result{1};
    for (int64_t i = 0; i < d; ++i) result.push_back(x[i] / std::sqrt(root));
    for (int64_t i = 0; i < d; ++i) {
      for (int64_t j = 0; j < d; ++j) result.push_back(x[i] * x[j] / (std::sqrt(2.0) * root));
    }
    return result;
  }

  std::vector<Doubles> reference(const std::vector<Doubles>& x) const {
    Doubles y(T * H * dv), kv = x[kKvState], k_sum = x[kKState];
    for (int64_t row = 0; row < T * H; ++row) {
      const Doubles q = features(&x[kQ][row * d]), k = features(&x[kK][row * d]);
      const int64_t head = row % H;
      double z = kEps;
      for (int64_t f = 0; f < D(); ++f) {
        k_sum[head * D() + f] += k[f];
        z += q[f] * k_sum[head * D() + f];
      }
      for (int64_t j = 0; j < dv; ++j) {
        for (int64_t f = 0; f < D(); ++f) {
          double& s = kv[(head * dv + j) * D() + f];
          s += k[f] * x[kV][row * dv + j];
          y[row * dv + j] += q[f] * s / (normalize ? z : 1);
        }
      }
    }
    return {y, kv, k_sum};
  }

  // In parts of some values, all heads.
  Arrays forward(const Arrays& x) const {
    const BasedInputs in = inputs(x);
    const IoType acc = accumulation_type(io);
    Array y(io, T * H * dv), kv(acc, H * dv * D()), k(acc, H * D());
    const int64_t middle = dv > kBasedColumnBlock ? kBasedColumnBlock : dv;
    for (const BasedPart part : {BasedPart{H, 0, middle}, {H, middle, dv}}) {
      if (part.first_value == part.last_value) continue;
      Memory scratch(kernels().forward_scratch(in, part));
      kernels().forward(in, {0, T, 0, {x[kKvState], x[kKState]}}, {y, {kv, k}}, part, scratch);
    }
    return {y, kv, k};
  }

  Arrays backward(const Arrays& x, const Arrays& grad) const {
    const BasedInputs in = inputs(x);
    Arrays to;
    for (const Array& input : x) to.emplace_back(input.type(), input.size());
    for (int64_t head = 0; head < H; ++head) {
      const int64_t at = head * D();
      Memory scratch(kernels().backward_scratch(in, T));
      kernels().backward(in, {0, T, head, {x[kKvState].at(at * dv), x[kKState].at(at)}},
                         {.y = grad[0],
                          .after = {grad[1].at(at * dv), grad[2].at(at)},
                          .q = to[kQ],
                          .k = to[kK],
                          .v = to[kV],
                          .before = {to[kKvState].at(at * dv), to[kKState].at(at)}},
                         scratch);
    }
    return to;
  }

  void run(const std::string& name) const {
    const IoType acc = accumulation_type(io);
    Doubles k_state = normal(H * D(), 0.5);
    for (int64_t head = 0; head < H; ++head) k_state[head * D()] += 10;  // as of past keys: divisors are far from 0
    check({.name = name,
           .io = io,
           .inputs = {{"q", io, normal(T * H * d, 1)},
                      {"k", io, normal(T * H * d, 1)},
                      {"v", io, normal(T * H * dv, 1)},
                      {"kv_state", acc, normal(H * dv * D(), 1)},
                      {"k_state", acc, k_state}},
           .outputs = {{"y", io}, {"kv_state after", acc}, {"k_state after", acc}},
           .reference = [this](const auto& x) { return reference(x); },
           .forward = [this](const Arrays& x) { return forward(x); },
           .backward = [this](const Arrays& x, const Arrays& grad) { return backward(x, grad); }});
  }

  // The full states [D, columns] that distinct features [F, columns] stand for: (i, j) and (j, i) are the same.
  Doubles full(const Doubles& packed, int64_t columns) const {
    Doubles result(D() * columns);
    for (int64_t c = 0; c < columns; ++c) {
      int64_t p = 0;
      for (; p < 1 + d; ++p) result[c * D() + p] = packed[p * columns + c];
      for (int64_t i = 0; i < d; ++i) {
        for (int64_t j = i; j < d; ++j, ++p) {
          for (const int64_t f : {i * d + j, j * d + i}) result[c * D() + 1 + d + f] = packed[p * columns + c];
        }
      }
    }
    return result;
  }

  // Token by token of the only head, on packed states in place.
  void run_decode(const std::string& name) const {
    const IoType acc = accumulation_type(io);
    const int64_t packed = (d + 1) * (d + 2) / 2;
    Doubles k_state = normal(packed, 0.5);
    k_state[0] += 10;
    const auto with_full_states = [this](std::vector<Doubles> x) {
      x[kKvState] = full(x[kKvState], dv);
      x[kKState] = full(x[kKState], 1);
      return reference(x);
    };
    const auto decode = [&](const Arrays& x) -> Arrays {
      Array y(io, T * dv), kv = x[kKvState], k = x[kKState];
      for (int64_t t = 0; t < T; ++t) {
        Memory scratch(kernels().one_token_scratch(inputs(x)));
        kernels().one_token(inputs(x), t, 0, {kv, k}, y, scratch);
      }
      return {y, Array(acc, full(kv.values(), dv)), Array(acc, full(k.values(), 1))};
    };
    check({.name = name,
           .io = io,
           .inputs = {{"q", io, normal(T * d, 1)},
                      {"k", io, normal(T * d, 1)},
                      {"v", io, normal(T * dv, 1)},
                      {"kv_state", acc, normal(packed * dv, 1)},
                      {"k_state", acc, k_state}},
           .outputs = {{"y", io}, {"kv_state after", acc}, {"k_state after", acc}},
           .reference = with_full_states,
           .forward = decode,
           .backward = nullptr});
  }
};

}  // namespace

void test_based_linear_attention(IoType io) {
  const BasedTest test{.io = io, .T = 37, .H = 2, .d = 3, .dv = 19, .normalize = true};  // more than a chunk
  test.run("based_linear_attention");
  BasedTest{.io = io, .T = 5, .H = 1, .d = 4, .dv = 5, .normalize = false}.run("based_linear_attention as sums");
  BasedTest{.io = io, .T = 4, .H = 1, .d = 5, .dv = 23, .normalize = true}.run_decode("_based_decode_");
}

}  // namespace wkv::test
