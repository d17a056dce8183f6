// Products of WarpTile against fp64.
#include "core/cuda/warp_tile.cuh"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace {

constexpr int kRows = 16, kTiles = 3, kColumns = 8 * kTiles, kDepth = 16;

struct Matrices {
  std::vector<float> left, right, sum;  // [kRows, kDepth], [kDepth, kColumns], [kRows, kColumns]

  Matrices() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<float>& x, int count) {
      for (int i = 0; i < count; ++i) x.push_back(normal(random));
    };
    fill(left, kRows * kDepth);
    fill(right, kDepth * kColumns);
    fill(sum, kRows * kColumns);
  }

  // The largest difference of `found` from sum + left right, relative to the largest element.
  double error(const std::vector<float>& found) const {
    double difference = 0, largest = 0;
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kColumns; ++c) {
        double expected = sum[r * kColumns + c];
        for (int k = 0; k < kDepth; ++k) expected += double{left[r * kDepth + k]} * right[k * kColumns + c];
        difference = std::max(difference, std::abs(found[r * kColumns + c] - expected));
        largest = std::max(largest, std::abs(expected));
      }
    }
    return difference / largest;
  }
};

enum class Left { kFunction, kRegisters };

template <bool kExact>
double error_of_product(Left left) {
  const Matrices x;
  std::vector<float> found(kRows * kColumns);
  cuda_on_host::run(1, 32, 0, 3, [&] {
    wkv::cuda::WarpTile<kTiles> tile;
    tile.for_each([&](int row, int column, float& value) { value = x.sum[row * kColumns + column]; });
    const auto right = [&](int k, int n) { return x.right[k * kColumns + n]; };
    if (left == Left::kRegisters) {
      wkv::cuda::WarpTile<kDepth / 8> in_registers;
      in_registers.for_each([&](int row, int k, float& value) { value = x.left[row * kDepth + k]; });
      tile.template add_product<kExact>(in_registers, right);
    } else {
      tile.template add_product<kExact>(
          kDepth, [&](int row, int k) { return x.left[row * kDepth + k]; }, right);
    }
    tile.for_each([&](int row, int column, float& value) { found[row * kColumns + column] = value; });
  });
  return x.error(found);
}

TEST(WarpTile, exact_products_have_the_accuracy_of_fp32) {
  EXPECT_LT(error_of_product<true>(Left::kFunction), 1e-6);
  EXPECT_LT(error_of_product<true>(Left::kRegisters), 1e-6);
}

TEST(WarpTile, products_of_tf32_have_that_of_ten_bits) {
  for (const Left left : {Left::kFunction, Left::kRegisters}) {
    EXPECT_LT(error_of_product<false>(left), 1e-3);
    EXPECT_GT(error_of_product<false>(left), 1e-5) << "operands were not rounded";
  }
}

TEST(WarpTile, each_element_belongs_to_one_lane) {
  std::vector<int> owners(kRows * kColumns);
  cuda_on_host::run(1, 32, 0, 0, [&] {
    wkv::cuda::WarpTile<kTiles> tile;
    tile.for_each([&](int row, int column, float&) { ++owners[row * kColumns + column]; });
  });
  EXPECT_EQ(owners, std::vector<int>(owners.size(), 1));
}

TEST(WarpTile, nan_and_infinity_reach_the_row_and_no_other) {
  std::vector<float> found(kRows * kColumns);
  cuda_on_host::run(1, 32, 0, 0, [&] {
    wkv::cuda::WarpTile<kTiles> tile;
    tile.clear();
    tile.add_product<true>(
        8, [](int row, int k) { return row == 2 && k == 5 ? std::numeric_limits<float>::infinity() : 1.0f; },
        [](int, int) { return 1.0f; });
    tile.for_each([&](int row, int column, float& value) { found[row * kColumns + column] = value; });
  });
  for (int i = 0; i < kRows * kColumns; ++i) EXPECT_EQ(std::isfinite(found[i]), i / kColumns != 2) << i;
}

}  // namespace
