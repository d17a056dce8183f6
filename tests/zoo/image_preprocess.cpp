// The published pipelines, and the resize that they share.
#include <ATen/Parallel.h>
#include <sys/stat.h>

#include "io_files.h"
#include "support/data.h"
#include "support/fixture.h"
#include "support/image_files.h"
#include "wkv/zoo/image.h"

namespace wkv::test {
namespace {

const std::string kImages[] = {"rgb_odd_123x77.png",   "rgb_down_301x413.jpg", "gray_190x141.png", "rgba_97x131.png",
                               "grayalpha_150x80.png", "palette_99x64.png",    "cmyk_120x90.jpg",  "exif6_160x110.jpg"};

std::filesystem::path image_path(const std::string& image) { return golden("image_preprocess/images/" + image); }

Fixture fixture_of(std::string image) {
  image[image.find('.')] = '_';
  return Fixture(golden("image_preprocess/" + image + ".safetensors"));
}

struct Normalisation {
  std::string pipeline;
  at::Tensor mean, deviation;  // of bytes, [3, 1, 1]
};

std::vector<Normalisation> normalisations() {
  const auto of = [](std::array<double, 3> values, double scale) {
    return (at::tensor(at::ArrayRef(values), at::kDouble) * scale).view({3, 1, 1});
  };
  return {{"mm224", of({123.675, 116.28, 103.53}, 1), of({58.395, 57.12, 57.375}, 1)},
          {"vl384", of({0.485, 0.456, 0.406}, 255), of({0.229, 0.224, 0.225}, 255)},
          {"clip224", of({0.48145466, 0.4578275, 0.40821073}, 255), of({0.26862954, 0.26130258, 0.27577711}, 255)}};
}

std::string png_of(const at::Tensor& pixels) {  // [H, W, 3]
  const at::Tensor contiguous = pixels.contiguous();
  const auto row_bytes = static_cast<size_t>(pixels.size(1) * 3);
  std::vector<std::string> rows;
  for (int64_t y = 0; y < pixels.size(0); ++y)
    rows.emplace_back(reinterpret_cast<const char*>(contiguous[y].const_data_ptr<uint8_t>()), row_bytes);
  return png_file(static_cast<uint32_t>(pixels.size(1)), rows);
}

class ImageOf : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(image_path(GetParam()))) GTEST_SKIP() << image_path(GetParam());
  }
};

INSTANTIATE_TEST_SUITE_P(, ImageOf, testing::ValuesIn(kImages),
                         [](const auto& image) { return image.param.substr(0, image.param.find('.')); });

TEST_P(ImageOf, the_published_pipelines_give_their_values) {
  const Fixture fixture = fixture_of(GetParam());
  size_t checked = 0;
  for (const auto& [pipeline, mean, deviation] : normalisations()) {
    if (!fixture.has(pipeline + ".norm_sample")) continue;
    const at::Tensor image = zoo::preprocess_file(image_path(GetParam()), pipeline);
    // Every eighth row and column.
    const at::Tensor sample = image.slice(1, 0, std::nullopt, 8).slice(2, 0, std::nullopt, 8);
    EXPECT_LE(absolute_error(sample, fixture[pipeline + ".norm_sample"]), 1e-6) << pipeline;
    const std::string crop = pipeline + ".crop_rgb_u8";  // carried along for one image only
    if (fixture.has(crop)) {
      EXPECT_LE(absolute_error(image, (fixture[crop] - mean) / deviation), 1e-6) << pipeline;
    }
    ++checked;
  }
  EXPECT_GE(checked, 2);
}

TEST(Preprocess, rows_and_columns_are_resized_and_cropped_as_rwkv_clip_does) {
  const auto path = golden("rwkv_clip/preprocess.safetensors");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path;
  const Fixture fixture(path);
  for (int i = 0; i < 7; ++i) {
    const std::string name = "i" + std::to_string(i);
    if (!fixture.has(name + ".in.rgb")) continue;  // the largest one is not carried along
    const at::Tensor &pixels = fixture[name + ".in.rgb"], &expected = fixture[name + ".out.pixels"];
    const at::Tensor image = zoo::preprocess(png_of(pixels), name, "clip" + std::to_string(expected.size(2)));
    EXPECT_LE(absolute_error(image, expected), expected.scalar_type() == at::kHalf ? 1e-3 : 1e-6) << name;
  }
}

TEST(Preprocess, a_long_thin_image_takes_no_more_memory_than_its_crop) {
  for (const std::string pipeline : {"mm224", "vl384", "clip224"})
    for (const auto& shape : {std::array<int64_t, 2>{1, 100'000}, {100'000, 1}}) {
      // The middle of the image is a step from black to white: so is the crop, along one axis.
      at::Tensor pixels = at::zeros({shape[0], shape[1], 3}, at::kByte);
      pixels.reshape({-1, 3}).slice(0, 50'000).fill_(255);
      const at::Tensor image = zoo::preprocess(png_of(pixels), "thin", pipeline);
      const int64_t size = image.size(1), along = shape[0] == 1 ? 2 : 1;
      EXPECT_EQ(image.size(2), size);
      EXPECT_LT(image.select(along, 0).max().item<float>(), -1);
      EXPECT_GT(image.select(along, size - 1).min().item<float>(), 1);
    }
}

TEST(Preprocess, an_image_of_one_pixel_has_one_colour) {
  const at::Tensor image = zoo::preprocess(png_of(at::full({1, 1, 3}, 100, at::kByte)), "dot", "clip224");
  ASSERT_EQ(image.sizes(), at::IntArrayRef({3, 224, 224}));
  EXPECT_TRUE(at::equal(image, image.slice(1, 0, 1).slice(2, 0, 1).expand_as(image)));
  EXPECT_NEAR(image[0][0][0].item<float>(), (100 / 255.0 - 0.48145466) / 0.26862954, 1e-6);
}

TEST(Preprocess, half_a_pixel_at_the_crop_goes_to_the_even_offset) {
  // No resize, one row, and a red ramp: the first column's value is the offset.
  for (const auto& [width, offset] : {std::pair(33, 0), {34, 1}, {35, 2}, {36, 2}, {37, 2}, {39, 4}}) {
    at::Tensor pixels = at::arange(width, at::kByte).view({1, width, 1}).expand({32, width, 3});
    const at::Tensor image = zoo::preprocess(png_of(pixels), "ramp", "vl32");
    EXPECT_NEAR(image[0][0][0].item<double>() * 0.229 * 255 + 0.485 * 255, offset, 1e-4) << width;
  }
}

TEST(Preprocess, a_pipeline_of_another_name_is_refused) {
  for (const char* name : {"", "mm", "mm256", "vl", "clip0", "clip-1", "clip 224", "clip224x", "clip4097", "CLIP224"}) {
    expect_error(ErrorCode::invalid_argument, "pipeline: expected mm224, vl384 or clip224",
                 [&] { zoo::require_pipeline(name); });
  }
  for (const char* name : {"mm224", "vl384", "vl192", "clip224", "clip336", "clip4096"})
    EXPECT_NO_THROW(zoo::require_pipeline(name)) << name;
}

TEST(PreprocessFiles, gives_each_file_its_image_or_its_own_error) {
  const ScratchFolder folder;
  write_bytes(folder / "a.png", png_of(at::full({20, 30, 3}, 7, at::kByte)));
  write_bytes(folder / "empty.jpg", "");
  write_bytes(folder / "text.jpg", "no image");
  ASSERT_EQ(::mkfifo((folder / "pipe.jpg").c_str(), 0600), 0);
  std::filesystem::resize_file(write_bytes(folder / "large.png", "\x89PNG"), (uint64_t{1} << 30) + 1);
  const std::pair<std::string, std::string> cases[] = {
      {"empty.jpg", "the file is empty"},
      {"text.jpg", "expected a JPEG or PNG image"},
      {"a.png", ""},
      {"missing.jpg", "there is no such file"},
      {"pipe.jpg", "not a regular file"},
      {"large.png", "1073741825 bytes are too many for an image"},
  };
  std::vector<std::string> paths;
  for (const auto& [name, message] : cases) paths.push_back(folder / name);
  const auto files = zoo::preprocess_files(paths, "clip32");
  ASSERT_EQ(files.size(), std::size(cases));
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string& message = cases[i].second;
    EXPECT_EQ(files[i].image.defined(), message.empty()) << paths[i];
    EXPECT_EQ(files[i].error.empty(), message.empty()) << paths[i];
    EXPECT_TRUE(message.empty() || files[i].error.starts_with(paths[i] + ": ")) << files[i].error;
    EXPECT_NE(files[i].error.find(message), std::string::npos) << files[i].error;
  }
}

TEST(PreprocessFiles, the_images_do_not_depend_on_the_number_of_threads) {
  const ScratchFolder folder;
  std::vector<std::string> paths;
  for (int i = 0; i < 9; ++i) {
    const at::Tensor pixels = at::randint(256, {40 + i, 60 - i, 3}, at::kByte);
    paths.push_back(write_bytes(folder / std::to_string(i), png_of(pixels)));
  }
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = zoo::preprocess_files(paths, "mm224");
  at::set_num_threads(4);
  const auto four = zoo::preprocess_files(paths, "mm224");
  at::set_num_threads(threads);
  for (size_t i = 0; i < paths.size(); ++i) EXPECT_TRUE(at::equal(one[i].image, four[i].image)) << i;
}

TEST_P(ImageOf, decodes_to_the_pixels_of_opencv_and_pillow) {
  const Fixture fixture = fixture_of(GetParam());
  const std::string bytes = read_bytes(image_path(GetParam()));
  const at::Tensor opencv = zoo::decode_image(bytes, GetParam(), zoo::DecodeRules::opencv);
  const at::Tensor pillow = zoo::decode_image(bytes, GetParam(), zoo::DecodeRules::pillow);
  if (!fixture.has("pil.decoded_rgb"))
    GTEST_SKIP() << "the decoded pixels of " << GetParam() << " are not carried along";
  EXPECT_TRUE(at::equal(opencv, fixture["mm224.decoded_rgb"]));
  EXPECT_TRUE(at::equal(pillow, fixture["pil.decoded_rgb"]));
}

TEST(ResizeBicubic, is_pillows_bit_for_bit) {
  const auto path = golden("image_preprocess/resize_bicubic_u8.safetensors");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path;
  const Fixture fixture(path);
  size_t checked = 0;
  for (int i = 0; i < 6; ++i) {
    const std::string name = "case" + std::to_string(i);
    if (!fixture.has(name + ".in")) continue;
    const at::Tensor& expected = fixture[name + ".out"];
    EXPECT_TRUE(at::equal(zoo::resize_bicubic(fixture[name + ".in"], expected.size(0), expected.size(1)), expected))
        << name;
    ++checked;
  }
  EXPECT_GE(checked, 2);
}

TEST(ResizeBicubic, the_same_size_changes_nothing) {
  const at::Tensor image = at::randint(256, {31, 45, 3}, at::kByte);
  EXPECT_TRUE(at::equal(zoo::resize_bicubic(image, 31, 45), image));
}

TEST(ResizeBicubic, takes_any_strides) {
  const at::Tensor image = at::randint(256, {3, 45, 31}, at::kByte).permute({2, 1, 0});
  EXPECT_TRUE(at::equal(zoo::resize_bicubic(image, 20, 70), zoo::resize_bicubic(image.contiguous(), 20, 70)));
}

TEST(ResizeBicubic, white_stays_white_at_every_scale) {
  for (const auto& [from, to] : {std::pair(1, 500), {2, 3}, {7, 6}, {1000, 1}, {65'536, 1}, {60'000, 7}}) {
    const at::Tensor image = at::full({2, from, 3}, 255, at::kByte);
    EXPECT_TRUE(at::equal(zoo::resize_bicubic(image, 2, to), at::full({2, to, 3}, 255, at::kByte)))
        << from << " " << to;
  }
}

TEST(ResizeBicubic, what_is_no_image_and_sizes_beyond_the_limits_are_refused) {
  const at::Tensor image = at::zeros({4, 4, 3}, at::kByte);
  for (const at::Tensor& bad : {at::zeros({4, 4}, at::kByte), at::zeros({4, 4, 4}, at::kByte), at::zeros({4, 4, 3}),
                                at::zeros({0, 4, 3}, at::kByte), at::zeros({65'537, 1, 3}, at::kByte)}) {
    expect_error(ErrorCode::shape_mismatch, "resize_bicubic: image must be uint8 [H, W, 3]",
                 [&] { zoo::resize_bicubic(bad, 4, 4); });
  }
  for (const auto& [height, width] : {std::pair(0, 4), {4, -1}, {65'537, 1}, {65'536, 65'536}}) {
    expect_error(ErrorCode::invalid_argument, "resize_bicubic: expected a height and a width",
                 [&] { zoo::resize_bicubic(image, height, width); });
  }
}

}  // namespace
}  // namespace wkv::test
