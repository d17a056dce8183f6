#include <gtest/gtest.h>

#include <cmath>

#include "train/augmentation.h"

namespace wkv::zoo {
namespace {

TrainConfig::Augment crops(double least, double most, double narrowest = 0.75, double widest = 4.0 / 3) {
  return {.crop_area = {least, most}, .crop_aspect = {narrowest, widest}};
}

double area_of(const Box& box) { return static_cast<double>(box.rows.length * box.columns.length); }

TEST(DrawCrop, lies_in_the_image_with_an_area_and_aspect_of_the_recipe) {
  for (uint64_t bits = 0; bits < 500; ++bits) {
    const Box box = draw_crop(crops(0.25, 0.5), bits, 100, 200);
    ASSERT_GE(box.rows.first, 0);
    ASSERT_GE(box.columns.first, 0);
    ASSERT_LE(box.rows.first + box.rows.length, 100);
    ASSERT_LE(box.columns.first + box.columns.length, 200);
    EXPECT_NEAR(area_of(box) / 20000, 0.375, 0.125 + 0.01);
    const double aspect = static_cast<double>(box.columns.length) / static_cast<double>(box.rows.length);
    EXPECT_NEAR(std::log(aspect), 0, std::log(4.0 / 3) + 0.02);
  }
}

TEST(DrawCrop, has_the_mean_area_of_its_range) {
  double area = 0;
  for (uint64_t bits = 0; bits < 4000; ++bits) area += area_of(draw_crop(crops(0.2, 0.6), bits, 200, 200)) / 40000;
  EXPECT_NEAR(area / 4000, 0.4, 0.01);
}

TEST(DrawCrop, is_the_largest_central_part_where_no_draw_fits) {
  const Box box = draw_crop(crops(1, 1, 1, 1), 7, 10, 40);
  EXPECT_EQ(box.rows.first, 0);
  EXPECT_EQ(box.rows.length, 10);
  EXPECT_EQ(box.columns.first, 15);
  EXPECT_EQ(box.columns.length, 10);
}

TEST(DrawCrop, of_the_whole_area_is_the_whole_image) {
  const Box box = draw_crop(crops(1, 1, 1, 1), 3, 32, 32);
  EXPECT_EQ(area_of(box), 32 * 32);
}

TEST(DrawFlip, has_the_probability_of_the_recipe) {
  int flipped = 0;
  for (uint64_t bits = 0; bits < 4000; ++bits) flipped += draw_flip({.flip = 0.3}, bits);
  EXPECT_NEAR(flipped / 4000.0, 0.3, 0.03);
}

TEST(DrawMixing, is_the_image_alone_by_default) {
  EXPECT_EQ(draw_mixing({}, 5, 32, 32).share, 1.0);
  EXPECT_FALSE(draw_mixing({}, 5, 32, 32).cut);
}

TEST(DrawMixing, shares_have_the_moments_of_the_beta_distribution) {
  double mean = 0, square = 0;
  constexpr int kDraws = 4000;
  for (uint64_t bits = 0; bits < kDraws; ++bits) {
    const double share = draw_mixing({.mixup = 0.8}, bits, 32, 32).share;
    mean += share / kDraws;
    square += share * share / kDraws;
  }
  EXPECT_NEAR(mean, 0.5, 0.02);
  EXPECT_NEAR(square - mean * mean, 0.25 / 2.6, 0.01);  // 1 / (4 (2 alpha + 1))
}

TEST(DrawMixing, a_box_takes_what_the_share_leaves) {
  for (uint64_t bits = 0; bits < 200; ++bits) {
    const Mixing mixing = draw_mixing({.cutmix = 1.0}, bits, 24, 32);
    ASSERT_TRUE(mixing.cut);
    EXPECT_NEAR(mixing.share, 1 - area_of(mixing.box) / (24 * 32), 1e-12);
    EXPECT_LE(mixing.box.rows.first + mixing.box.rows.length, 24);
    EXPECT_LE(mixing.box.columns.first + mixing.box.columns.length, 32);
  }
}

TEST(DrawMixing, with_both_each_comes_as_often) {
  int cut = 0;
  for (uint64_t bits = 0; bits < 2000; ++bits) cut += draw_mixing({.mixup = 0.8, .cutmix = 1.0}, bits, 32, 32).cut;
  EXPECT_NEAR(cut / 2000.0, 0.5, 0.05);
}

}  // namespace
}  // namespace wkv::zoo
