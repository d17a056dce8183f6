#include <gtest/gtest.h>

#include "image/decode.h"
#include "image/orientation.h"
#include "support/image_files.h"

namespace wkv::test {
namespace {

// An image of 2 rows and 3 columns whose red values are letters, row by row.
constexpr std::string_view kStored = "abcdef";

std::string letters(const zoo::RgbImage& image) {
  std::string text;
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) text += static_cast<char>(image.row(y)[3 * x]);
    text += '/';
  }
  return text;
}

std::string stored_png() {
  std::vector<std::string> rows(2);
  for (size_t i = 0; i < kStored.size(); ++i) rows[i / 3] += std::string(3, kStored[i]);
  return png_file(3, rows);
}

TEST(Orientation, each_value_turns_the_image_its_way) {
  const char* expected[] = {"abc/def/",  "cba/fed/",  "fed/cba/",  "def/abc/",
                            "ad/be/cf/", "da/eb/fc/", "fc/eb/da/", "cf/be/ad/"};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    zoo::RgbImage image(2, 3);
    for (size_t i = 0; i < kStored.size(); ++i) std::fill_n(&image.pixels[3 * i], 3, static_cast<uint8_t>(kStored[i]));
    EXPECT_EQ(letters(zoo::turned_upright(std::move(image), orientation)), expected[orientation - 1]);
  }
}

TEST(Orientation, is_read_in_both_byte_orders) {
  for (int orientation = 1; orientation <= 8; ++orientation)
    for (const bool little_endian : {false, true})
      EXPECT_EQ(zoo::exif_orientation(exif_data(orientation, little_endian)), orientation);
}

TEST(Orientation, is_upright_where_the_data_say_nothing_else) {
  const std::string good = exif_data(6);
  for (size_t size = 0; size < 18; ++size) EXPECT_EQ(zoo::exif_orientation(good.substr(0, size)), 1) << size;
  EXPECT_EQ(zoo::exif_orientation("no TIFF header"), 1);
  EXPECT_EQ(zoo::exif_orientation(exif_data(0)), 1);
  EXPECT_EQ(zoo::exif_orientation(exif_data(9)), 1);
  std::string far = good;
  far.replace(4, 4, "\xff\xff\xff\xff");  // where the directory begins
  EXPECT_EQ(zoo::exif_orientation(far), 1);
  std::string many = good;
  many.replace(8, 4, "\xff\xff\x13\x01");  // the number of entries, another tag
  EXPECT_EQ(zoo::exif_orientation(many), 1);
}

TEST(Orientation, is_applied_by_the_rules_of_opencv_only) {
  const std::string png = with_chunk(stored_png(), "eXIf", exif_data(6));
  EXPECT_EQ(letters(zoo::decode(png, "a.png", zoo::DecodeRules::opencv)), "da/eb/fc/");
  EXPECT_EQ(letters(zoo::decode(png, "a.png", zoo::DecodeRules::pillow)), "abc/def/");

  const std::string jpeg =
      jpeg_file(16, 48, std::vector<uint8_t>(16 * 48, 7), {.color_space = JCS_GRAYSCALE, .exif = exif_data(8)});
  EXPECT_EQ(zoo::decode(jpeg, "a.jpg", zoo::DecodeRules::opencv).height, 48);
  EXPECT_EQ(zoo::decode(jpeg, "a.jpg", zoo::DecodeRules::pillow).height, 16);
}

}  // namespace
}  // namespace wkv::test
