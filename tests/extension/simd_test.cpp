// The vector arithmetic of the kernels, in its portable form (the wider ones are reached through the ops).
#define WKV_ISA portable
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/simd/vec.h"

namespace wkv::portable {
namespace {

float exp_of(float x) { return exp(broadcast(x))[0]; }

TEST(Simd, exp_is_accurate_everywhere) {
  for (double x = -87; x < 88.7; x += 0.00137) {
    const float rounded = static_cast<float>(x);
    EXPECT_NEAR(exp_of(rounded) / std::exp(static_cast<double>(rounded)), 1, 2e-7) << rounded;
  }
}

TEST(Simd, exp_is_exact_at_its_limits) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(exp_of(0), 1);
  EXPECT_EQ(exp_of(-kInf), 0);
  EXPECT_EQ(exp_of(kInf), kInf);
  EXPECT_EQ(exp_of(88.8f), kInf);
  EXPECT_EQ(exp_of(-104), 0);
  EXPECT_NEAR(exp_of(-100), 3.8e-44f, 2e-45f);
  EXPECT_TRUE(std::isnan(exp_of(std::nanf(""))));
}

TEST(Simd, exp_minus_one_is_accurate_where_it_is_small) {
  const auto of = [](float x) { return exp_minus_one(broadcast(x))[0]; };
  for (double x = 1e-12; x < 80; x *= 1.037) {
    for (const float rounded : {static_cast<float>(x), static_cast<float>(-x)}) {
      EXPECT_NEAR(of(rounded) / std::expm1(static_cast<double>(rounded)), 1, 3e-7) << rounded;
    }
  }
  EXPECT_EQ(of(0), 0);
  EXPECT_EQ(of(-std::numeric_limits<float>::infinity()), -1);
}

TEST(Simd, every_half_is_read_and_written_as_it_is) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = c10::Half(static_cast<uint16_t>(bits), c10::Half::from_bits());
    const float value = half_to_float({static_cast<uint16_t>(bits)});
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(half)));
      EXPECT_TRUE(std::isnan(half_to_float(float_to_half(value))));
    } else {
      EXPECT_EQ(value, static_cast<float>(half));
      EXPECT_EQ(float_to_half(value).bits, bits);
    }
  }
}

// Numbers at, just below and just above the middle between two neighbouring 16-bit numbers, over all exponents.
std::vector<float> near_ties() {
  std::vector<float> values;
  for (uint32_t high = 0; high < 0x7f80; high += 3) {
    for (const uint32_t low : {0x0000u, 0x0fffu, 0x1000u, 0x1001u, 0x3000u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const uint32_t bits = high << 16 | low;
      float value;
      std::memcpy(&value, &bits, sizeof value);
      values.push_back(value);
      values.push_back(-value);
    }
  }
  return values;
}

TEST(Simd, floats_are_rounded_to_the_nearest_half) {
  for (const float value : near_ties()) EXPECT_EQ(float_to_half(value).bits, c10::Half(value).x) << value;
}

TEST(Simd, floats_are_rounded_to_the_nearest_bfloat16) {
  for (const float value : near_ties()) {
    BFloat16 out[kLanes<float>];
    store_as(out, broadcast(value));
    EXPECT_EQ(out[0].bits, c10::BFloat16(value).x) << value;
    EXPECT_EQ(load_as(out)[0], static_cast<float>(c10::BFloat16(value)));
  }
  BFloat16 out[kLanes<float>];
  store_as(out, broadcast(std::nanf("")));
  EXPECT_TRUE(std::isnan(load_as(out)[0]));
}

TEST(Simd, the_sums_of_rows_come_in_order) {
  Vec<float> rows[kLanes<float>];
  for (int i = 0; i < kLanes<float>; ++i) {
    for (int lane = 0; lane < kLanes<float>; ++lane) rows[i][lane] = static_cast<float>(100 * i + lane);
  }
  const Vec<float> sums = sums_of_rows(rows);
  for (int i = 0; i < kLanes<float>; ++i) EXPECT_EQ(sums[i], static_cast<float>(400 * i + 6));
}

TEST(Simd, a_transpose_pads_with_zeros) {
  constexpr int kRows = 5, kColumns = 7, kStride = 8;
  float from[kRows * kColumns], to[kColumns * kStride];
  for (int i = 0; i < kRows * kColumns; ++i) from[i] = static_cast<float>(i + 1);
  transpose(from, kColumns, kRows, kColumns, to, kStride);
  for (int j = 0; j < kColumns; ++j) {
    for (int i = 0; i < kStride; ++i)
      EXPECT_EQ(to[j * kStride + i], i < kRows ? from[i * kColumns + j] : 0) << j << " " << i;
  }
}

}  // namespace
}  // namespace wkv::portable
#undef WKV_ISA
