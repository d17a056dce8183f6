// The kernels of sliding_window_attention.
#include "sliding_window_attention/sliding_window_attention.h"

#include <algorithm>
#include <cmath>

#include "op_case.h"

namespace wkv::test {
namespace {

enum { kQ, kK, kV, kPastK, kPastV };

struct WindowTest {
  IoType io;
  int64_t T, H, D, keys_back, past, first_real;

  const WindowKernels& kernels() const { return kernels_for(window_kernels(), io); }
  double scale() const { return 1 / std::sqrt(static_cast<double>(D)); }
  WindowInputs inputs(const Arrays& x) const {
    return {.q = x[kQ], .k = x[kK], .v = x[kV], .heads = H, .head_size = D, .keys_back = keys_back, .scale = scale()};
  }
  WindowSequence sequence(const Arrays& x, int64_t head) const {
    return {.first_token = 0,
            .length = T,
            .head = head,
            .past_k = x[kPastK],
            .past_v = x[kPastV],
            .past = past,
            .first_real = first_real};
  }
  int64_t window() const { return std::min(keys_back, past + T); }

  std::vector<Doubles> reference(const std::vector<Doubles>& x) const {
    const auto joined = [&](int past_of, int of) {
      Doubles rows = x[past_of];
      std::fill_n(rows.begin(), first_real * H * D, 0);
      rows.insert(rows.end(), x[of].begin(), x[of].end());
      return rows;
    };
    const Doubles k = joined(kPastK, kK), v = joined(kPastV, kV);
    Doubles y(T * H * D);
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t h = 0; h < H; ++h) {
        const int64_t at = (t * H + h) * D, own = past + t;
        double sum = 0;
        for (int64_t row = std::max(first_real, own - keys_back); row <= own; ++row) {
          const int64_t key = (row * H + h) * D;
          double score = 0;
          for (int64_t i = 0; i < D; ++i) score += x[kQ][at + i] * k[key + i];
          const double weight = std::exp(scale() * score);
          sum += weight;
          for (int64_t i = 0; i < D; ++i) y[at + i] += weight * v[key + i];
        }
        for (int64_t i = 0; i < D; ++i) y[at + i] /= sum;
      }
    }
    const auto last_rows = [&](const Doubles& rows) { return Doubles(rows.end() - window() * H * D, rows.end()); };
    return {y, last_rows(k), last_rows(v)};
  }

  Arrays forward(const Arrays& x) const {
    Array y(io, T * H * D);
    for (int64_t head = 0; head < H; ++head) {
      for (int64_t first = 0; first < T; first += kWindowQueries) {
        Memory scratch(kernels().forward_scratch(inputs(x)));
        kernels().forward(inputs(x), sequence(x, head), y, first, std::min(first + kWindowQueries, T), scratch);
      }
    }
    return {y};
  }

  Arrays backward(const Arrays& x, const Arrays& grad) const {
    Arrays to;
    for (const Array& input : x) to.emplace_back(input.type(), input.size());
    for (int64_t head = 0; head < H; ++head) {
      Memory scratch(kernels().backward_scratch(inputs(x), past + T));
      kernels().backward(inputs(x), sequence(x, head),
                         {.y = grad[0],
                          .window_k = grad[1],
                          .window_v = grad[2],
                          .window = window(),
                          .q = to[kQ],
                          .k = to[kK],
                          .v = to[kV],
                          .past_k = to[kPastK],
                          .past_v = to[kPastV]},
                         scratch);
    }
    return to;
  }

  void run(const std::string& name) const {
    const int64_t tokens = T * H * D, before = past * H * D;
    check({.name = name,
           .io = io,
           .inputs = {{"q", io, normal(tokens, 1)},
                      {"k", io, normal(tokens, 1)},
                      {"v", io, normal(tokens, 1)},
                      {"past_k", io, normal(before, 1)},
                      {"past_v", io, normal(before, 1)}},
           .outputs = {{"y", io}, {"window_k", io}, {"window_v", io}},
           .reference = [this](const auto& x) { return reference(x); },
           .forward = [this](const Arrays& x) { return forward(x); },
           .backward = [this](const Arrays& x, const Arrays& grad) { return backward(x, grad); }});
  }
};

}  // namespace

void test_sliding_window_attention(IoType io) {
  WindowTest{.io = io, .T = 67, .H = 2, .D = 7, .keys_back = 9, .past = 5, .first_real = 2}.run(
      "sliding_window_attention");
  WindowTest{.io = io, .T = 3, .H = 1, .D = 20, .keys_back = 8, .past = 6, .first_real = 2}.run(
      "sliding_window_attention short");
}

}  // namespace wkv::test
