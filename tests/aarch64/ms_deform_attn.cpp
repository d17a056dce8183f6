// The kernels of ms_deform_attn.
#include "ms_deform_attn/ms_deform_attn.h"

#include <algorithm>
#include <cmath>

#include "op_case.h"

namespace wkv::test {
namespace {

enum { kValue, kLocations, kWeights };

struct MsDeformAttnTest {
  IoType io;
  int64_t D;

  static constexpr int64_t B = 2, H = 2, Q = 5, P = 3, L = 2;
  static constexpr int64_t kShapes[2 * L] = {4, 5, 2, 3}, kStart[L] = {0, 20}, kPlaces = 26;

  const MsDeformAttnKernels& kernels() const { return kernels_for(ms_deform_attn_kernels(), io); }
  MsDeformAttnInputs inputs(const Arrays& x) const {
    return {.value = x[kValue],
            .spatial_shapes = kShapes,
            .level_start_index = kStart,
            .sampling_locations = x[kLocations],
            .attention_weights = x[kWeights],
            .float_locations = x[kLocations].is_float(),
            .float_weights = x[kWeights].is_float(),
            .places = kPlaces,
            .heads = H,
            .size = D,
            .queries = Q,
            .levels = L,
            .points = P};
  }

  // Of every place its share, which is zero from a distance of one on.
  std::vector<Doubles> reference(const std::vector<Doubles>& x) const {
    Doubles y(B * Q * H * D);
    for (int64_t point = 0; point < B * Q * H * L * P; ++point) {
      const int64_t level = point / P % L, row = point / P / L, head = row % H, batch = row / H / Q;
      const int64_t height = kShapes[2 * level], width = kShapes[2 * level + 1];
      const double px = x[kLocations][2 * point] * static_cast<double>(width) - 0.5,
                   py = x[kLocations][2 * point + 1] * static_cast<double>(height) - 0.5;
      for (int64_t s = 0; s < height * width; ++s) {
        const double share = std::max(0.0, 1 - std::abs(px - static_cast<double>(s % width))) *
                             std::max(0.0, 1 - std::abs(py - static_cast<double>(s / width)));
        const int64_t value = ((batch * kPlaces + kStart[level] + s) * H + head) * D;
        for (int64_t d = 0; d < D; ++d) y[row * D + d] += x[kWeights][point] * share * x[kValue][value + d];
      }
    }
    return {y};
  }

  Arrays forward(const Arrays& x) const {
    Array y(io, B * Q * H * D);
    Memory scratch(kernels().forward_scratch(inputs(x)));
    kernels().forward(inputs(x), y, 0, 7, scratch);
    kernels().forward(inputs(x), y, 7, B * Q * H, scratch);
    return {y};
  }

  Arrays backward(const Arrays& x, const Arrays& grad) const {
    Arrays to;
    for (const Array& input : x) to.emplace_back(input.type(), input.size());
    for (int64_t task = 0; task < B * H; ++task) {
      Memory scratch(kernels().backward_scratch(inputs(x)));
      kernels().backward(
          inputs(x),
          {.y = grad[0], .value = to[kValue], .sampling_locations = to[kLocations], .attention_weights = to[kWeights]},
          task / H, task % H, scratch);
    }
    return to;
  }
};

}  // namespace

void test_ms_deform_attn(IoType io) {
  for (const int64_t D : {32, 5}) {
    const MsDeformAttnTest test{.io = io, .D = D};
    using Sizes = MsDeformAttnTest;
    const int64_t points = Sizes::B * Sizes::Q * Sizes::H * Sizes::L * Sizes::P;
    check({.name = "ms_deform_attn of " + std::to_string(D),
           .io = io,
           .inputs = {{"value", io, normal(Sizes::B * Sizes::kPlaces * Sizes::H * D, 1)},
                      {"locations", accumulation_type(io), normal(points * 2, 0.5, 0.5)},
                      {"weights", io, normal(points, 1)}},
           .outputs = {{"y", io}},
           .reference = [&](const auto& x) { return test.reference(x); },
           .forward = [&](const Arrays& x) { return test.forward(x); },
           .backward = [&](const Arrays& x, const Arrays& grad) { return test.backward(x, grad); }});
  }
}

}  // namespace wkv::test
