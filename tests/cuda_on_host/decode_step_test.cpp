// The kernels of the decoding steps one by one; whole steps are tested with the models.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "decode_step/product.cuh"
#include "decode_step/shift_and_mix.cuh"
#include "rwkv7_blocks/decode_head.cuh"

namespace wkv::cuda {
namespace {

template <class P = float>
std::vector<P> random_values(int64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<P> values(static_cast<size_t>(count));
  for (P& value : values) value = static_cast<P>(normal(random));
  return values;
}

// --- products ---

template <class P, int kRows>
std::vector<float> multiply(Product product, int64_t rows, uint64_t schedule) {
  std::vector<float> y(static_cast<size_t>(rows * product.outputs));
  product.y = y.data();
  product.tiles = ProductTile<P, kRows>::tiles(product);
  Products products = {.of = {}, .rows = rows};
  products.of[1] = product;  // after one that has no outputs
  const auto blocks = static_cast<unsigned>(product.tiles * ((rows + kRows - 1) / kRows));
  cuda_on_host::run(dim3(blocks), dim3(kProductThreads), product_shared_bytes<P, kRows>(), schedule,
                    [&] { multiply_kernel<P, kRows>(products); });
  return y;
}

template <class P>
void expect_products(bool by_columns, int64_t inputs, int64_t outputs, int64_t rows) {
  const auto matrix = random_values<P>(inputs * outputs, 1);
  const auto x = random_values(rows * inputs, 2);
  const Product product = {
      .matrix = matrix.data(), .by_columns = by_columns, .inputs = inputs, .outputs = outputs, .x = x.data()};
  const std::vector<float> y = multiply<P, 8>(product, rows, 0);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t n = 0; n < outputs; ++n) {
      double sum = 0, size = 0;
      for (int64_t k = 0; k < inputs; ++k) {
        const auto at = static_cast<size_t>(by_columns ? k * outputs + n : n * inputs + k);
        const double term =
            static_cast<double>(static_cast<float>(matrix[at])) * x[static_cast<size_t>(row * inputs + k)];
        sum += term;
        size += std::abs(term);
      }
      ASSERT_NEAR(y[static_cast<size_t>(row * outputs + n)], sum, 1e-6 * size) << row << ' ' << n;
    }
  }
  // The same bits for any number of rows at a time, and in any order of threads.
  EXPECT_EQ((multiply<P, 1>(product, rows, 1)), y);
  EXPECT_EQ((multiply<P, 2>(product, rows, 2)), y);
  EXPECT_EQ((multiply<P, 4>(product, rows, 3)), y);
}

template <class P>
void expect_all_products() {
  for (const auto& [inputs, outputs] : {std::pair<int64_t, int64_t>{64, 64}, {192, 128}, {2240, 64}}) {
    expect_products<P>(/*by_columns=*/false, inputs, outputs, 9);
  }
  for (const auto& [inputs, outputs] : {std::pair<int64_t, int64_t>{64, 32}, {192, 5}, {1088, 70}}) {
    expect_products<P>(/*by_columns=*/true, inputs, outputs, 3);
  }
}

TEST(DecodeStepOnCuda, products_are_sums_in_an_order_of_their_own) {
  expect_all_products<float>();
  expect_all_products<BFloat16>();
  expect_all_products<Half>();
}

// --- shifts ---

TEST(DecodeStepOnCuda, a_shift_without_a_slot_is_not_written) {
  constexpr int64_t kWidth = 64, kSlots = 3;
  const int64_t slot_of_row[] = {1, kSlots, -1, 0};
  const auto x = random_values(4 * kWidth, 1), weight = random_values(kWidth, 2),
             before = random_values(kSlots * kWidth, 3);
  auto shifts = before;
  std::vector<float> mixed(4 * kWidth);
  const ShiftAndMix phase = {.x = x.data(),
                             .width = kWidth,
                             .slots = {slot_of_row, kSlots},
                             .weight = weight.data(),
                             .bias = weight.data(),
                             .shifts = shifts.data(),
                             .stride = kWidth,
                             .count = 1,
                             .mixes = {weight.data()},
                             .mixed = {mixed.data()}};
  cuda_on_host::run(dim3(4), dim3(kShiftThreads), static_cast<size_t>(row_shared_bytes(kWidth)), 0,
                    [&] { shift_and_mix_kernel<float>(phase); });
  const auto is_kept = [&](int64_t slot) {
    return std::equal(shifts.begin() + slot * kWidth, shifts.begin() + (slot + 1) * kWidth,
                      before.begin() + slot * kWidth);
  };
  EXPECT_FALSE(is_kept(0));
  EXPECT_FALSE(is_kept(1));
  EXPECT_TRUE(is_kept(2));
}

// --- a head of RWKV-7 ---

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

// One head for two rows, of which the second has no slot; all parameters are the same vector.
template <int kSize>
struct Head {
  static constexpr int64_t kRank = 7, kSlots = 2, kRows = 2, kCells = int64_t{kSize} * kSize;
  const int64_t slot_of_row[kRows] = {1, kSlots};
  const std::vector<float> p = random_values(kSize, 1), up = random_values(kRank * kSize, 2),
                           hidden = random_values(kRows * kRank, 3), r = random_values(kRows * kSize, 4),
                           k = random_values(kRows * kSize, 5), v = random_values(kRows * kSize, 6),
                           first_value = random_values(kRows * kSize, 7),
                           before = random_values((kSlots + 1) * kCells, 8);
  std::vector<float> states = before, gated = std::vector<float>(kRows * kSize);

  template <int kCompiled>
  void run() {
    auto value_of_first = first_value;
    Rwkv7DecodeHead head = {
        .heads = 1,
        .head_size = kSize,
        .eps = 1e-5f,
        .parameters = {p.data(), p.data(), p.data(), p.data(), p.data(), p.data(), p.data(), p.data()},
        .receptance = r.data(),
        .key = k.data(),
        .value = v.data(),
        .first_value = value_of_first.data(),
        .first = false,
        .slots = {slot_of_row, kSlots},
        .states = states.data(),
        .stride = kCells,
        .gated = gated.data()};
    for (int i = 0; i < kLowRanks; ++i) {
      head.up[i] = up.data();
      head.rank[i] = kRank;
      head.hidden[i] = hidden.data();
    }
    cuda_on_host::run(dim3(kRows), dim3(kHeadThreads), static_cast<size_t>(rwkv7_decode_head_shared_bytes(kSize)), 0,
                      [&] { rwkv7_decode_head_kernel<float, kCompiled>(head); });
  }

  // The equations, in fp64: what is expected of a row, from the state given, which is changed.
  std::vector<double> expected(int row, std::vector<double>& state) const {
    std::vector<double> low(kSize), w(kSize), key(kSize), value(kSize), a(kSize), b(kSize), y(kSize);
    const auto at = [&](const std::vector<float>& x, int n) -> double {
      return x[static_cast<size_t>(row * kSize + n)];
    };
    double length = 0, bonus = 0, mean = 0, variance = 0;
    for (int n = 0; n < kSize; ++n) {
      for (int64_t i = 0; i < kRank; ++i) low[n] += double{hidden[row * kRank + i]} * up[i * kSize + n];
      length += at(k, n) * p[n] * at(k, n) * p[n];
    }
    for (int n = 0; n < kSize; ++n) {
      const double unit = at(k, n) * p[n] / std::sqrt(length), rate = logistic(low[n] + p[n]);
      w[n] = std::exp(-std::exp(-0.5) * logistic(low[n] + p[n]));
      key[n] = at(k, n) * (1 + (rate - 1) * p[n]);
      value[n] = at(v, n) + (at(first_value, n) - at(v, n)) * logistic(low[n] + p[n]);
      a[n] = -unit;
      b[n] = unit * rate;
      bonus += at(r, n) * key[n] * p[n];
    }
    for (int i = 0; i < kSize; ++i) {
      double* const cells = state.data() + i * kSize;
      double removed = 0;
      for (int j = 0; j < kSize; ++j) removed += a[j] * cells[j];
      for (int j = 0; j < kSize; ++j) {
        cells[j] = w[j] * cells[j] + value[i] * key[j] + removed * b[j];
        y[i] += at(r, j) * cells[j];
      }
      mean += y[i] / kSize;
    }
    for (const double x : y) variance += (x - mean) * (x - mean) / kSize;
    for (int n = 0; n < kSize; ++n) {
      y[n] = ((y[n] - mean) / std::sqrt(variance + 1e-5) * p[n] + p[n] + bonus * value[n]) * low[n];
    }
    return y;
  }
};

void expect_close(const std::vector<double>& expected, const float* found) {
  double largest = 0;
  for (const double x : expected) largest = std::max(largest, std::abs(x));
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(found[i], expected[i], 1e-5 * largest) << i;
}

template <int kSize, int kCompiled>
void expect_head() {
  SCOPED_TRACE(kSize);
  Head<kSize> head;
  constexpr int64_t kCells = Head<kSize>::kCells;
  head.template run<kCompiled>();
  std::vector<double> state(head.before.begin() + kCells, head.before.begin() + 2 * kCells), none(kCells);
  expect_close(head.expected(0, state), head.gated.data());
  expect_close(head.expected(1, none), head.gated.data() + kSize);
  expect_close(state, head.states.data() + kCells);
  for (const int64_t slot : {0, 2}) {  // the pool's other one, and what lies behind the pool
    EXPECT_TRUE(std::equal(head.before.begin() + slot * kCells, head.before.begin() + (slot + 1) * kCells,
                           head.states.begin() + slot * kCells));
  }
}

TEST(DecodeStepOnCuda, a_head_is_what_the_equations_say_and_without_a_slot_no_state_is_written) {
  expect_head<32, 32>();
  expect_head<64, 64>();
  expect_head<96, 0>();
  expect_head<128, 128>();
  expect_head<256, 0>();
}

}  // namespace
}  // namespace wkv::cuda
