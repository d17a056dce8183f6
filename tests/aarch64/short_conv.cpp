// The kernels of short_conv.
#include "short_conv/short_conv.h"

#include <cmath>

#include "op_case.h"

namespace wkv::test {
namespace {

enum { kX, kWeight, kBias, kState };

struct ShortConvTest {
  IoType io;
  std::vector<int64_t> lengths;  // of the sequences
  int64_t C, K;
  bool silu;

  int64_t sequences() const { return static_cast<int64_t>(lengths.size()); }
  int64_t tokens() const {
    int64_t sum = 0;
    for (const int64_t length : lengths) sum += length;
    return sum;
  }
  const ShortConvKernels& kernels() const { return kernels_for(short_conv_kernels(), io); }
  ShortConvInputs inputs(const Arrays& x) const {
    return {.x = x[kX],
            .weight = x[kWeight],
            .bias = x[kBias],
            .float_weight = x[kWeight].is_float(),
            .float_bias = x[kBias].is_float(),
            .channels = C,
            .kernel_size = K,
            .silu = silu};
  }
  std::vector<ShortConvSequence> rows(const Array& state) const {
    std::vector<ShortConvSequence> result;
    int64_t first = 0;
    for (int64_t i = 0; i < sequences(); first += lengths[i++]) {
      result.push_back({first, lengths[i], state.at(i * C * K)});
    }
    return result;
  }

  std::vector<Doubles> reference(const std::vector<Doubles>& x) const {
    Doubles y(tokens() * C), after(x[kState].size());
    int64_t first = 0;
    for (int64_t s = 0; s < sequences(); first += lengths[s++]) {
      for (int64_t c = 0; c < C; ++c) {
        const int64_t state = (s * C + c) * K;
        Doubles row(x[kState].begin() + state, x[kState].begin() + state + K);  // K inputs of before, then its own
        for (int64_t t = 0; t < lengths[s]; ++t) {
          row.push_back(x[kX][(first + t) * C + c]);
          double z = x[kBias][c];
          for (int64_t j = 0; j < K; ++j) z += x[kWeight][c * K + j] * row[t + 1 + j];
          y[(first + t) * C + c] = silu ? z / (1 + std::exp(-z)) : z;
        }
        for (int64_t j = 0; j < K; ++j) after[state + j] = row[lengths[s] + j];
      }
    }
    return {y, after};
  }

  Arrays forward(const Arrays& x) const {
    Array y(io, tokens() * C), after(x[kState].type(), x[kState].size());
    const std::vector<ShortConvSequence> all = rows(x[kState]);
    for (int64_t i = 0; i < sequences(); ++i) {
      for (const ShortConvChannels channels : {ShortConvChannels{0, C / 2}, {C / 2, C}}) {
        Memory scratch(kernels().forward_scratch(inputs(x)));
        kernels().forward(inputs(x), all[i], {y, after.at(i * C * K)}, channels, scratch);
      }
    }
    return {y, after};
  }

  Arrays backward(const Arrays& x, const Arrays& grad) const {
    Arrays to;
    for (const Array& input : x) to.emplace_back(input.type(), input.size());
    Memory scratch(kernels().backward_scratch(inputs(x)));
    kernels().backward(inputs(x), rows(x[kState]).data(), sequences(),
                       {.y = grad[0],
                        .state_after = grad[1],
                        .x = to[kX],
                        .weight = to[kWeight],
                        .bias = to[kBias],
                        .state_before = to[kState]},
                       {0, C}, scratch);
    return to;
  }

  void run(const std::string& name) const {
    const IoType acc = accumulation_type(io);
    check({.name = name,
           .io = io,
           .inputs = {{"x", io, normal(tokens() * C, 1)},
                      {"weight", io, normal(C * K, 0.5)},
                      {"bias", io, normal(C, 0.5)},
                      {"state", acc, normal(sequences() * C * K, 1)}},
           .outputs = {{"y", io}, {"state after", acc}},
           .reference = [this](const auto& x) { return reference(x); },
           .forward = [this](const Arrays& x) { return forward(x); },
           .backward = [this](const Arrays& x, const Arrays& grad) { return backward(x, grad); }});
  }
};

}  // namespace

void test_short_conv(IoType io) {
  ShortConvTest{.io = io, .lengths = {9, 2}, .C = 11, .K = 4, .silu = true}.run("short_conv");
  ShortConvTest{.io = io, .lengths = {5}, .C = 21, .K = 3, .silu = false}.run("short_conv without silu");
}

}  // namespace wkv::test
