// The kernels of the decoding steps one by one; whole steps are tested with the models.
#include <gtest/gtest.h>

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
    expect_products<P>(/*by_columns=*/false, inputs, outputs, 3);
    expect_products<P>(/*by_columns=*/false, inputs, outputs, 11);
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

// --- rows whose slot is none of the pool's ---

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

TEST(DecodeStepOnCuda, a_matrix_state_without_a_slot_is_not_written) {
  constexpr int64_t kSize = 64, kRank = 7, kSlots = 2, kRows = 2, kCells = kSize * kSize;
  const int64_t slot_of_row[kRows] = {1, kSlots};
  const auto vector = random_values(kRows * kSize, 1), matrix = random_values(kRank * kSize, 2),
             before = random_values((kSlots + 1) * kCells, 3);
  auto states = before;
  std::vector<float> gated(kRows * kSize), first_value(kRows * kSize);
  const float* const p = vector.data();
  Rwkv7DecodeHead head = {.heads = 1,
                          .head_size = kSize,
                          .eps = 1e-5f,
                          .parameters = {p, p, nullptr, p, p, p, p, p},
                          .receptance = p,
                          .key = p,
                          .value = p,
                          .first_value = first_value.data(),
                          .first = true,
                          .slots = {slot_of_row, kSlots},
                          .states = states.data(),
                          .stride = kCells,
                          .gated = gated.data()};
  for (const LowRank i : {kDecay, kRate, kGate}) {
    head.up[i] = matrix.data();
    head.rank[i] = kRank;
    head.hidden[i] = p;
  }
  cuda_on_host::run(dim3(kRows), dim3(kHeadThreads), static_cast<size_t>(rwkv7_decode_head_shared_bytes(kSize)), 0,
                    [&] { rwkv7_decode_head_kernel<float, kSize>(head); });
  for (int64_t slot = 0; slot <= kSlots; ++slot) {
    const bool is_kept = std::equal(states.begin() + slot * kCells, states.begin() + (slot + 1) * kCells,
                                    before.begin() + slot * kCells);
    EXPECT_EQ(is_kept, slot != 1) << slot;
  }
}

}  // namespace
}  // namespace wkv::cuda
