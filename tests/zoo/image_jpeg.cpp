#include <gtest/gtest.h>

#include "image/decode.h"
#include "image/jpeg.h"
#include "io_files.h"
#include "support/image_files.h"

namespace wkv::test {
namespace {

constexpr uint32_t kJpegHeight = 24, kJpegWidth = 40;

// An image of one colour, which JPEG keeps to a level or two.
std::vector<uint8_t> flat(const std::vector<uint8_t>& color) {
  std::vector<uint8_t> samples;
  for (uint32_t i = 0; i < kJpegHeight * kJpegWidth; ++i) samples.insert(samples.end(), color.begin(), color.end());
  return samples;
}

// An image of coarse noise.
std::string noise_jpeg(bool progressive) {
  std::vector<uint8_t> samples;
  for (uint32_t i = 0; i < kJpegHeight * kJpegWidth * 3; ++i)
    samples.push_back(static_cast<uint8_t>(i * 2654435761u >> 24));
  return jpeg_file(kJpegHeight, kJpegWidth, samples, {.progressive = progressive});
}

void expect_color(const std::string& file, zoo::DecodeRules rules, std::array<int, 3> color) {
  const zoo::RgbImage image = zoo::decode(file, "a.jpg", rules);
  ASSERT_EQ(image.height, kJpegHeight);
  ASSERT_EQ(image.width, kJpegWidth);
  for (uint32_t i = 0; i < kJpegHeight * kJpegWidth * 3; ++i) ASSERT_NEAR(image.pixels[i], color[i % 3], 2) << i;
}

TEST(Jpeg, every_colour_space_becomes_rgb) {
  for (const auto rules : {zoo::DecodeRules::opencv, zoo::DecodeRules::pillow})
    for (const bool progressive : {false, true}) {
      const auto file = [&](J_COLOR_SPACE space, const std::vector<uint8_t>& color) {
        return jpeg_file(kJpegHeight, kJpegWidth, flat(color), {.color_space = space, .progressive = progressive});
      };
      expect_color(file(JCS_RGB, {200, 100, 50}), rules, {200, 100, 50});
      expect_color(file(JCS_GRAYSCALE, {90}), rules, {90, 90, 90});
      // As Adobe stores CMYK: 255 is no ink; full cyan leaves no red, half of black darkens.
      expect_color(file(JCS_CMYK, {0, 255, 255, 255}), rules, {0, 255, 255});
      expect_color(file(JCS_CMYK, {255, 128, 255, 128}), rules, {128, 64, 128});
    }
}

TEST(Jpeg, a_truncated_file_is_refused) {
  for (const bool progressive : {false, true}) {
    const std::string whole = noise_jpeg(progressive);
    for (size_t size = 3; size < whole.size(); ++size) {
      const std::string part = whole.substr(0, size);
      EXPECT_THROW(zoo::decode(part, "a.jpg", zoo::DecodeRules::pillow), Error) << size << " of " << whole.size();
    }
  }
}

TEST(Jpeg, an_end_marker_does_not_make_half_an_image_whole) {
  const std::string whole = noise_jpeg(false);
  const std::string half = whole.substr(0, whole.size() / 2 + 200) + "\xff\xd9";
  ASSERT_LT(half.size(), whole.size());
  expect_error(ErrorCode::corrupt_file, "a.jpg: cannot be decoded as a JPEG: Corrupt JPEG data: premature end",
               [&] { zoo::decode(half, "a.jpg", zoo::DecodeRules::pillow); });
}

TEST(Jpeg, what_follows_the_image_is_ignored) {
  EXPECT_NO_THROW(zoo::decode(noise_jpeg(false) + "and more", "a.jpg", zoo::DecodeRules::pillow));
}

TEST(Jpeg, arithmetic_coding_is_not_supported) {
  std::string file = noise_jpeg(false);
  file[file.find("\xff\xc0") + 1] = '\xc9';  // the start of frame says how it is coded
  expect_error(ErrorCode::unsupported_format, "arithmetic coding",
               [&] { zoo::decode(file, "a.jpg", zoo::DecodeRules::pillow); });
}

TEST(Jpeg, a_file_of_very_many_scans_is_refused) {
  std::string file = noise_jpeg(true);
  const size_t scan = file.rfind("\xff\xda"), end = file.rfind("\xff\xd9");
  const std::string last_scan = file.substr(scan, end - scan);
  for (int i = 0; i < 120; ++i) file.insert(end, last_scan);
  expect_error(ErrorCode::unsupported_format, "a JPEG of more than 100 scans",
               [&] { zoo::decode(file, "a.jpg", zoo::DecodeRules::pillow); });
}

TEST(Jpeg, the_first_exif_data_count_wherever_they_stand) {
  const std::string plain = noise_jpeg(false);
  const auto segment = [](const std::string& data) {
    return "\xff\xe1" + big(static_cast<uint32_t>(data.size() + 2), 2) + data;
  };
  const std::string exif("Exif\0\0", 6);
  std::string file = plain;
  file.insert(2, segment("http://ns.adobe.com/xap/1.0/") + segment(exif + "first") + segment(exif + "second"));
  EXPECT_EQ(zoo::jpeg_exif(file), "first");
  EXPECT_EQ(zoo::jpeg_exif(plain), "");
  EXPECT_EQ(zoo::jpeg_exif(plain.substr(0, 2) + "\xff\xe1\xff\xff" + exif + "cut short"), "cut short");
  EXPECT_EQ(zoo::jpeg_exif("\xff\xd8\xff\xe1"), "");
}

}  // namespace
}  // namespace wkv::test
