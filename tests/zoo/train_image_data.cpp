#include <ATen/Functions.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "support/fixture.h"
#include "train/image_data.h"
#include "train_pictures.h"
#include "wkv/error.h"
#include "wkv/zoo/image.h"

namespace wkv::zoo {
namespace {

using testing::HasSubstr;

struct Pictures {
  explicit Pictures(int count) {
    for (int i = 0; i < count; ++i) {
      paths.push_back((folder / (std::to_string(i) + ".png")).string());
      test::write_picture(paths.back(), test::shade(i % 3, i), 20, 16);
    }
  }
  test::ScratchFolder folder;
  std::vector<std::string> paths;
};

TEST(ImageFiles, are_read_as_the_pipeline_has_them) {
  const Pictures pictures(3);
  const ImageFiles files(pictures.paths, "clip16", "data.images");
  const at::Tensor batch = files.read({2, 0});
  EXPECT_TRUE(at::equal(batch[0], preprocess_file(pictures.paths[2], "clip16")));
  EXPECT_TRUE(at::equal(batch[1], preprocess_file(pictures.paths[0], "clip16")));
}

TEST(ImageFiles, augmented_depend_on_their_bits_alone) {
  const Pictures pictures(2);
  const ImageFiles files(pictures.paths, "clip16", "data.images");
  const TrainConfig::Augment augment{.crop_area = {0.3, 1.0}, .flip = 0.5};
  const at::Tensor one = files.read({0, 1}, augment, {11, 12}), other = files.read({1, 0}, augment, {12, 11});
  EXPECT_TRUE(at::equal(one[0], other[1]) && at::equal(one[1], other[0]));
  EXPECT_FALSE(at::equal(files.read({0}, augment, {11}), files.read({0}, augment, {13})));
}

TEST(ImageFiles, flipped_are_mirrored) {
  const Pictures pictures(1);
  const ImageFiles files(pictures.paths, "clip16", "data.images");
  const at::Tensor flipped = files.read({0}, {.flip = 1.0}, {1});
  EXPECT_TRUE(at::equal(flipped, files.read({0}).flip(3)));
  EXPECT_FALSE(at::equal(flipped, files.read({0})));
}

TEST(ImageFiles, that_are_broken_are_counted_and_named_before_training) {
  const Pictures pictures(10);
  for (int i = 2; i < 9; ++i) std::ofstream(pictures.paths[static_cast<size_t>(i)]) << "no image";
  std::filesystem::remove(pictures.paths[4]);
  EXPECT_THAT([&] { ImageFiles(pictures.paths, "clip16", "data.images"); },
              testing::ThrowsMessage<Error>(AllOf(HasSubstr("data.images: 7 of 10 images can't be read: "),
                                                  HasSubstr(pictures.paths[2]), HasSubstr(pictures.paths[4]),
                                                  testing::Not(HasSubstr(pictures.paths[8])), HasSubstr("; ..."))));
}

TrainConfig sample_config(int64_t batch) {
  TrainConfig config;
  config.batch = batch;
  return config;
}

std::vector<int64_t> images_of(SamplePlan& plan, int64_t batch, int64_t rows) {
  std::vector<int64_t> images;
  for (const auto& sample : plan.rows(batch, 0, rows)) images.push_back(sample.image);
  return images;
}

TEST(SamplePlan, an_epoch_has_no_image_twice) {
  SamplePlan plan(11, sample_config(3));
  std::set<int64_t> seen;
  for (int64_t batch = 0; batch < 3; ++batch)
    for (const int64_t image : images_of(plan, batch, 3)) EXPECT_TRUE(image < 11 && seen.insert(image).second);
  EXPECT_EQ(plan.epochs(3), 1.0);
}

TEST(SamplePlan, each_epoch_has_its_own_order_and_draws) {
  SamplePlan plan(8, sample_config(8));
  EXPECT_NE(images_of(plan, 0, 8), images_of(plan, 1, 8));
  std::set<uint64_t> bits;
  for (int64_t batch = 0; batch < 10; ++batch)
    for (const auto& sample : plan.rows(batch, 0, 8)) bits.insert(sample.bits);
  EXPECT_EQ(bits.size(), 80U);
}

TEST(SamplePlan, a_batch_is_the_same_whichever_was_asked_for_before) {
  SamplePlan forward(10, sample_config(4)), other(10, sample_config(4));
  for (int64_t batch = 0; batch < 5; ++batch) images_of(forward, batch, 4);
  EXPECT_EQ(images_of(forward, 6, 4), images_of(other, 6, 4));
}

TEST(SamplePlan, fewer_images_than_a_batch_are_refused) {
  EXPECT_THAT([] { SamplePlan(7, sample_config(8)); },
              testing::ThrowsMessage<Error>(HasSubstr("batch must be at most 7, the number of images")));
}

}  // namespace
}  // namespace wkv::zoo
