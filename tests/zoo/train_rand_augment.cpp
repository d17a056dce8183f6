#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "image/pipeline.h"
#include "train/augmentation.h"
#include "train/rand_augment.h"

namespace wkv::zoo {
namespace {

constexpr Colour kFill = {1, 2, 3};

Planes speckled(int64_t height, int64_t width) {
  Planes planes(height, width);
  for (int64_t i = 0; i < 3 * height * width; ++i)
    planes.values[static_cast<size_t>(i)] = static_cast<uint8_t>((i * 37 + i / 7) % 251);
  return planes;
}

std::vector<uint8_t> bytes_of(const Planes& planes) {
  return {planes.values.get(), planes.values.get() + 3 * planes.height * planes.width};
}

std::vector<uint8_t> augmented_by(double magnitude, uint64_t bits) {
  Planes planes = speckled(24, 32);
  rand_augment(planes, magnitude, kFill, bits);
  EXPECT_EQ(planes.height, 24);
  EXPECT_EQ(planes.width, 32);
  return bytes_of(planes);
}

TEST(RandAugment, is_a_function_of_its_bits) {
  EXPECT_EQ(augmented_by(9, 7), augmented_by(9, 7));
  std::vector<std::vector<uint8_t>> different;
  for (uint64_t bits = 0; bits < 400; ++bits) {
    auto bytes = augmented_by(9, bits);
    if (std::ranges::find(different, bytes) == different.end()) different.push_back(std::move(bytes));
  }
  EXPECT_GT(different.size(), 200U);
}

TEST(RandAugment, does_nothing_with_a_quarter_of_the_images) {  // neither of its two operations
  const auto image = bytes_of(speckled(24, 32));
  int same = 0;
  for (uint64_t bits = 0; bits < 2000; ++bits) same += augmented_by(9, bits) == image;
  EXPECT_NEAR(same / 2000.0, 0.25, 0.04);
}

TEST(RandAugment, moves_less_with_a_small_magnitude) {
  // Bytes that come from outside of the image: of rotation, shears and shifts.
  const auto filled = [](double magnitude) {
    int64_t count = 0;
    for (uint64_t bits = 0; bits < 500; ++bits) {
      Planes planes(24, 32);
      std::fill_n(planes.values.get(), 3 * 24 * 32, uint8_t{200});
      rand_augment(planes, magnitude, kFill, bits);
      count += std::count(planes.values.get(), planes.values.get() + int64_t{24} * 32, kFill[0]);
    }
    return count;
  };
  EXPECT_GT(filled(9), 3 * filled(2));
}

TEST(DrawErasure, has_the_recipes_probability_and_the_published_sizes) {
  int erased = 0;
  for (uint64_t bits = 0; bits < 4000; ++bits) {
    const auto box = draw_erasure({.erase = 0.25}, bits, 100, 100);
    if (!box) continue;
    ++erased;
    ASSERT_GE(box->rows.first, 0);
    ASSERT_GE(box->columns.first, 0);
    ASSERT_LE(box->rows.first + box->rows.length, 100);
    ASSERT_LE(box->columns.first + box->columns.length, 100);
    const auto area = static_cast<double>(box->rows.length * box->columns.length) / 10000;
    ASSERT_GT(area, 0.015);
    ASSERT_LT(area, 0.35);
  }
  EXPECT_NEAR(erased / 4000.0, 0.25, 0.03);
  EXPECT_FALSE(draw_erasure({}, 1, 100, 100));
}

TEST(FillWithNoise, has_the_pipelines_moments_and_stays_in_the_box) {
  const Pipeline pipeline{DecodeRules::opencv, 256, 224, {123.675, 116.28, 103.53}, {58.395, 57.12, 57.375}};
  Planes planes(60, 80);
  std::fill_n(planes.values.get(), 3 * 60 * 80, uint8_t{0});
  const Box box{{10, 40}, {5, 70}};
  fill_with_noise(planes, box, pipeline, 3);
  for (int64_t c = 0; c < 3; ++c) {
    double sum = 0;
    for (int64_t y = 0; y < 60; ++y) {
      for (int64_t x = 0; x < 80; ++x) {
        const uint8_t byte = planes.values[static_cast<size_t>((c * 60 + y) * 80 + x)];
        const bool inside = y >= 10 && y < 50 && x >= 5 && x < 75;
        if (!inside) {
          ASSERT_EQ(byte, 0);
        }
        sum += byte;
      }
    }
    EXPECT_NEAR(sum / (40 * 70), pipeline.mean[static_cast<size_t>(c)], 4);
  }
}

}  // namespace
}  // namespace wkv::zoo
