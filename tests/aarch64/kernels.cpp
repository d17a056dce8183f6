// The raw-pointer kernels as another machine compiles them (scripts/test_aarch64), against plain loops in double. No
// PyTorch here: there is none for the machine that is emulated.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "core/simd/half.h"
#include "ms_deform_attn/ms_deform_attn.h"
#include "wkv7/wkv7.h"

namespace wkv {
namespace {

using Doubles = std::vector<double>;

std::mt19937_64 generator(1);
Doubles normal(int64_t n, double scale, double mean = 0) {
  std::normal_distribution<double> distribution(mean, scale);
  Doubles x(n);
  for (double& value : x) value = distribution(generator);
  return x;
}

// The bits of bfloat16 and half numbers, by way of the compiler's own conversions.
float from_bits(uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}
uint32_t to_bits(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}
void convert(double from, float& to) { to = static_cast<float>(from); }
void convert(double from, double& to) { to = from; }
void convert(double from, BFloat16& to) { to.bits = static_cast<uint16_t>(to_bits(static_cast<float>(from)) >> 16); }
void convert(double from, Half& to) {
  const auto half = static_cast<__fp16>(from);
  __builtin_memcpy(&to, &half, sizeof to);
}
double convert(float from) { return from; }
double convert(double from) { return from; }
double convert(BFloat16 from) { return from_bits(static_cast<uint32_t>(from.bits) << 16); }
double convert(Half from) {
  __fp16 half;
  __builtin_memcpy(&half, &from, sizeof half);
  return static_cast<double>(half);
}

// In memory as io_t; x becomes what that holds.
template <class io_t>
std::vector<io_t> stored(Doubles& x) {
  std::vector<io_t> result(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    convert(x[i], result[i]);
    x[i] = convert(result[i]);
  }
  return result;
}

int failures = 0;
template <class T>
void expect_close(const std::string& what, const std::vector<T>& found, const Doubles& expected, double tolerance) {
  double largest = 0, error = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double difference = std::abs(convert(found[i]) - expected[i]);
    largest = std::max(largest, std::abs(expected[i]));
    if (difference > error || std::isnan(difference)) error = difference;  // a NaN stays
  }
  const bool good = error <= tolerance * largest;
  std::printf("%s %-40s %.1e\n", good ? "ok  " : "FAIL", what.c_str(), error / largest);
  failures += !good;
}

template <class io_t>
struct Type;
template <>
struct Type<float> {
  static constexpr IoType kIo = IoType::kFloat;
  static constexpr const char* kName = "float";
  static constexpr double kTolerance = 1e-5;
  using acc_t = float;
};
template <>
struct Type<double> {
  static constexpr IoType kIo = IoType::kDouble;
  static constexpr const char* kName = "double";
  static constexpr double kTolerance = 1e-12;
  using acc_t = double;
};
template <>
struct Type<BFloat16> {
  static constexpr IoType kIo = IoType::kBFloat16;
  static constexpr const char* kName = "bfloat16";
  static constexpr double kTolerance = 1e-2;
  using acc_t = float;
};
template <>
struct Type<Half> {
  static constexpr IoType kIo = IoType::kHalf;
  static constexpr const char* kName = "half";
  static constexpr double kTolerance = 2e-3;
  using acc_t = float;
};

struct alignas(64) Line {
  char bytes[64];
};

template <class io_t>
void test_wkv7(int64_t T, int64_t N, int64_t M) {
  constexpr int64_t H = 2;
  const std::string what = std::string("wkv7 ") + Type<io_t>::kName + " T" + std::to_string(T) + " N" +
                           std::to_string(N) + " M" + std::to_string(M);
  Doubles r = normal(T * H * N, 0.5), w = normal(T * H * N, 0.5, -1.5), k = normal(T * H * N, 0.5),
          v = normal(T * H * M, 0.5), a = normal(T * H * N, 0.1), b = normal(T * H * N, 0.1), S = normal(M * N, 1);
  const auto r_ = stored<io_t>(r), w_ = stored<io_t>(w), k_ = stored<io_t>(k), v_ = stored<io_t>(v),
             a_ = stored<io_t>(a), b_ = stored<io_t>(b);
  const auto before = stored<typename Type<io_t>::acc_t>(S);
  std::vector<io_t> y_(T * H * M);
  auto after = before;

  const Wkv7Kernels& kernels = wkv7_kernels().of[static_cast<int>(Type<io_t>::kIo)];
  const Wkv7Inputs in{.r = r_.data(),
                      .k = k_.data(),
                      .v = v_.data(),
                      .a = a_.data(),
                      .b = b_.data(),
                      .decay = {w_.data(), /*float_w=*/sizeof(io_t) == 4, /*log_decay=*/false},
                      .heads = H,
                      .key_size = N,
                      .value_size = M};
  std::vector<Line> scratch(kernels.forward_scratch(in) / 64 + 1);
  kernels.forward(in, {0, T, 1, before.data()}, {y_.data(), after.data()}, {0, T, 0, M}, scratch.data());

  Doubles y, head_y;
  for (int64_t t = 0; t < T; ++t) {
    const int64_t key = (t * H + 1) * N, value = (t * H + 1) * M;
    for (int64_t j = 0; j < M; ++j) {
      double sa = 0, sum = 0;
      for (int64_t i = 0; i < N; ++i) sa += a[key + i] * S[j * N + i];
      for (int64_t i = 0; i < N; ++i) {
        double& s = S[j * N + i];
        s = std::exp(-std::exp(w[key + i])) * s + k[key + i] * v[value + j] + b[key + i] * sa;
        sum += r[key + i] * s;
      }
      y.push_back(sum);
      head_y.push_back(convert(y_[value + j]));
    }
  }
  expect_close(what, head_y, y, Type<io_t>::kTolerance);
  expect_close(what + " state", after, S, std::min(1e-5, Type<io_t>::kTolerance));
}

template <class io_t>
void test_ms_deform_attn(int64_t D) {
  constexpr int64_t H = 2, Q = 5, P = 3, kHeight = 4, kWidth = 5, S = kHeight * kWidth;
  Doubles value = normal(S * H * D, 1), places = normal(Q * H * P * 2, 0.5, 0.5), weights = normal(Q * H * P, 1);
  const auto value_ = stored<io_t>(value), weights_ = stored<io_t>(weights);
  const auto places_ = stored<typename Type<io_t>::acc_t>(places);
  const int64_t shapes[] = {kHeight, kWidth}, start[] = {0};
  const MsDeformAttnInputs in{.value = value_.data(),
                              .spatial_shapes = shapes,
                              .level_start_index = start,
                              .sampling_locations = places_.data(),
                              .attention_weights = weights_.data(),
                              .float_locations = sizeof(places_[0]) == 4,
                              .float_weights = sizeof(weights_[0]) == 4,
                              .places = S,
                              .heads = H,
                              .size = D,
                              .queries = Q,
                              .levels = 1,
                              .points = P};
  const MsDeformAttnKernels& kernels = ms_deform_attn_kernels().of[static_cast<int>(Type<io_t>::kIo)];
  std::vector<Line> scratch(kernels.forward_scratch(in) / 64 + 1);
  std::vector<io_t> y_(Q * H * D);
  kernels.forward(in, y_.data(), 0, Q * H, scratch.data());

  Doubles y(Q * H * D);
  for (int64_t row = 0; row < Q * H; ++row) {
    for (int64_t p = row * P; p < (row + 1) * P; ++p) {
      const double px = places[2 * p] * kWidth - 0.5, py = places[2 * p + 1] * kHeight - 0.5;
      for (int64_t s = 0; s < S; ++s) {  // each place by its share, which is zero from a distance of one on
        const double share = std::max(0.0, 1 - std::abs(px - static_cast<double>(s % kWidth))) *
                             std::max(0.0, 1 - std::abs(py - static_cast<double>(s / kWidth)));
        for (int64_t d = 0; d < D; ++d) y[row * D + d] += weights[p] * share * value[(s * H + row % H) * D + d];
      }
    }
  }
  expect_close(std::string("ms_deform_attn ") + Type<io_t>::kName + " D" + std::to_string(D), y_, y,
               Type<io_t>::kTolerance);
}

template <class io_t>
void test_type() {
  for (const auto& [T, N, M] : {std::array<int64_t, 3>{1, 64, 64}, {1, 7, 33}, {17, 64, 64}, {17, 20, 9}}) {
    test_wkv7<io_t>(T, N, M);
  }
  for (const int64_t D : {32, 5}) test_ms_deform_attn<io_t>(D);
}

}  // namespace
}  // namespace wkv

int main() {
  wkv::test_type<float>();
  wkv::test_type<double>();
  wkv::test_type<wkv::BFloat16>();
  wkv::test_type<wkv::Half>();
  return wkv::failures == 0 ? 0 : 1;
}
